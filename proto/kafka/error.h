/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's error codes as they travel in responses. Our own errors are enum err (common/base/err.h);
 * broker/handlers maps one to the other. */
#ifndef SLUICE_PROTO_KAFKA_ERROR_H
#define SLUICE_PROTO_KAFKA_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
/* X(NAME, code, retriable, text): names, codes and what clients retry are Kafka 4.2's. */
#define KAFKA_ERROR_TABLE(X) \
    X(UNKNOWN_SERVER_ERROR, -1, false, "unexpected failure inside the broker") \
    X(NONE, 0, false, "no error") \
    X(OFFSET_OUT_OF_RANGE, 1, false, "the offset lies outside the partition's log") \
    X(CORRUPT_MESSAGE, 2, true, "the batch is damaged: wrong checksum, size or structure") \
    X(UNKNOWN_TOPIC_OR_PARTITION, 3, true, "no such topic or partition here") \
    X(INVALID_FETCH_SIZE, 4, false, "the fetch size is not valid") \
    X(LEADER_NOT_AVAILABLE, 5, true, "the partition has no leader at the moment") \
    X(NOT_LEADER_OR_FOLLOWER, 6, true, "this broker is not the leader (or not a replica) of the partition") \
    X(REQUEST_TIMED_OUT, 7, true, "not done within the request's time limit") \
    X(BROKER_NOT_AVAILABLE, 8, false, "the broker is not available") \
    X(REPLICA_NOT_AVAILABLE, 9, true, "the replica is not available") \
    X(MESSAGE_TOO_LARGE, 10, false, "the record batch is over max.message.bytes") \
    X(STALE_CONTROLLER_EPOCH, 11, false, "the controller has moved") \
    X(OFFSET_METADATA_TOO_LARGE, 12, false, "the metadata string of the offset commit is over offset.metadata.max.bytes") \
    X(NETWORK_EXCEPTION, 13, true, "the connection broke before the answer came") \
    X(COORDINATOR_LOAD_IN_PROGRESS, 14, true, "the coordinator is still loading its state") \
    X(COORDINATOR_NOT_AVAILABLE, 15, true, "no coordinator is available") \
    X(NOT_COORDINATOR, 16, true, "this broker does not coordinate that group or transaction") \
    X(INVALID_TOPIC_EXCEPTION, 17, false, "the topic name is not allowed, or the topic is internal") \
    X(RECORD_LIST_TOO_LARGE, 18, false, "the record batch is larger than a log segment") \
    X(NOT_ENOUGH_REPLICAS, 19, true, "fewer in-sync replicas than min.insync.replicas; nothing was written") \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, 20, true, "written, but fewer in-sync replicas than min.insync.replicas hold it") \
    X(INVALID_REQUIRED_ACKS, 21, false, "acks must be -1, 0 or 1") \
    X(ILLEGAL_GENERATION, 22, false, "the group has another generation") \
    X(INCONSISTENT_GROUP_PROTOCOL, 23, false, "the member's protocols do not fit those of the group") \
    X(INVALID_GROUP_ID, 24, false, "the group id is not valid") \
    X(UNKNOWN_MEMBER_ID, 25, false, "the group has no such member") \
    X(INVALID_SESSION_TIMEOUT, 26, false, "the session time-out lies outside the broker's limits") \
    X(REBALANCE_IN_PROGRESS, 27, false, "the group is rebalancing; join again") \
    X(INVALID_COMMIT_OFFSET_SIZE, 28, false, "the offset commit is too large to store") \
    X(TOPIC_AUTHORIZATION_FAILED, 29, false, "not allowed on this topic") \
    X(GROUP_AUTHORIZATION_FAILED, 30, false, "not allowed on this group") \
    X(CLUSTER_AUTHORIZATION_FAILED, 31, false, "not allowed on this cluster") \
    X(INVALID_TIMESTAMP, 32, false, "the record's timestamp lies outside the accepted range") \
    X(UNSUPPORTED_SASL_MECHANISM, 33, false, "the SASL mechanism is not enabled") \
    X(ILLEGAL_SASL_STATE, 34, false, "the request does not fit the state of the SASL exchange") \
    X(UNSUPPORTED_VERSION, 35, false, "this version of the request is not supported") \
    X(TOPIC_ALREADY_EXISTS, 36, false, "the topic exists already") \
    X(INVALID_PARTITIONS, 37, false, "the partition count is not valid") \
    X(INVALID_REPLICATION_FACTOR, 38, false, "the replication factor is below 1 or above the number of usable brokers") \
    X(INVALID_REPLICA_ASSIGNMENT, 39, false, "the replica assignment is not valid") \
    X(INVALID_CONFIG, 40, false, "the setting or its value is not valid") \
    X(NOT_CONTROLLER, 41, true, "this node is not the active controller") \
    X(INVALID_REQUEST, 42, false, "the request contradicts itself or breaks the protocol") \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT, 43, false, "the topic's message format does not allow this") \
    X(POLICY_VIOLATION, 44, false, "a policy of the cluster forbids it") \
    X(OUT_OF_ORDER_SEQUENCE_NUMBER, 45, false, "the producer's sequence number leaves a gap") \
    X(DUPLICATE_SEQUENCE_NUMBER, 46, false, "the producer's sequence number was used before") \
    X(INVALID_PRODUCER_EPOCH, 47, false, "the producer's epoch is older than the current one") \
    X(INVALID_TXN_STATE, 48, false, "the transaction's state does not allow this") \
    X(INVALID_PRODUCER_ID_MAPPING, 49, false, "the producer id does not belong to this transactional id") \
    X(INVALID_TRANSACTION_TIMEOUT, 50, false, "the transaction time-out is over transaction.max.timeout.ms") \
    X(CONCURRENT_TRANSACTIONS, 51, true, "another operation on the same transaction is still running") \
    X(TRANSACTION_COORDINATOR_FENCED, 52, false, "the transaction marker comes from a coordinator that was replaced") \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 53, false, "not allowed on this transactional id") \
    X(SECURITY_DISABLED, 54, false, "no authorizer is configured") \
    X(OPERATION_NOT_ATTEMPTED, 55, false, "not tried, because another part of the request failed") \
    X(KAFKA_STORAGE_ERROR, 56, true, "the disk or log directory under the partition failed") \
    X(LOG_DIR_NOT_FOUND, 57, false, "the broker has no such log directory") \
    X(SASL_AUTHENTICATION_FAILED, 58, false, "authentication failed") \
    X(UNKNOWN_PRODUCER_ID, 59, false, "the broker keeps no state of this producer id") \
    X(REASSIGNMENT_IN_PROGRESS, 60, false, "the partition is being reassigned") \
    X(DELEGATION_TOKEN_AUTH_DISABLED, 61, false, "delegation tokens are not enabled") \
    X(DELEGATION_TOKEN_NOT_FOUND, 62, false, "no such delegation token") \
    X(DELEGATION_TOKEN_OWNER_MISMATCH, 63, false, "the principal neither owns nor may renew the token") \
    X(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, 64, false, "tokens cannot be handled over this kind of connection") \
    X(DELEGATION_TOKEN_AUTHORIZATION_FAILED, 65, false, "not allowed on this delegation token") \
    X(DELEGATION_TOKEN_EXPIRED, 66, false, "the delegation token has expired") \
    X(INVALID_PRINCIPAL_TYPE, 67, false, "the type of principal is not supported") \
    X(NON_EMPTY_GROUP, 68, false, "the group still has members") \
    X(GROUP_ID_NOT_FOUND, 69, false, "no such group") \
    X(FETCH_SESSION_ID_NOT_FOUND, 70, true, "the broker does not know this fetch session") \
    X(INVALID_FETCH_SESSION_EPOCH, 71, true, "the fetch session expected another epoch") \
    X(LISTENER_NOT_FOUND, 72, true, "the leader has no listener of the kind that was asked") \
    X(TOPIC_DELETION_DISABLED, 73, false, "topic deletion is switched off") \
    X(FENCED_LEADER_EPOCH, 74, true, "the leader epoch in the request is older than the broker's") \
    X(UNKNOWN_LEADER_EPOCH, 75, true, "the leader epoch in the request is newer than the broker's") \
    X(UNSUPPORTED_COMPRESSION_TYPE, 76, false, "the client cannot read the topic's compression type") \
    X(STALE_BROKER_EPOCH, 77, false, "the broker's registration epoch has changed") \
    X(OFFSET_NOT_AVAILABLE, 78, true, "the new leader does not know its high watermark yet") \
    X(MEMBER_ID_REQUIRED, 79, false, "join again with the member id from this answer") \
    X(PREFERRED_LEADER_NOT_AVAILABLE, 80, true, "the preferred leader is not available") \
    X(GROUP_MAX_SIZE_REACHED, 81, false, "the group is full") \
    X(FENCED_INSTANCE_ID, 82, false, "another member took over this group.instance.id") \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE, 83, true, "no eligible leader is available") \
    X(ELECTION_NOT_NEEDED, 84, true, "the partition needs no election") \
    X(NO_REASSIGNMENT_IN_PROGRESS, 85, false, "the partition is not being reassigned") \
    X(GROUP_SUBSCRIBED_TO_TOPIC, 86, false, "the group is subscribed to the topic") \
    X(INVALID_RECORD, 87, false, "the record is not valid for this topic") \
    X(UNSTABLE_OFFSET_COMMIT, 88, true, "transactions with offsets of this partition are still open") \
    X(THROTTLING_QUOTA_EXCEEDED, 89, true, "over the quota; try again later") \
    X(PRODUCER_FENCED, 90, false, "a newer producer uses this transactional id") \
    X(RESOURCE_NOT_FOUND, 91, false, "no such resource") \
    X(DUPLICATE_RESOURCE, 92, false, "the resource is named twice in the request") \
    X(UNACCEPTABLE_CREDENTIAL, 93, false, "the credential is not acceptable") \
    X(INCONSISTENT_VOTER_SET, 94, false, "sender or receiver is not a voter of the quorum") \
    X(INVALID_UPDATE_VERSION, 95, false, "the version to update from is not the current one") \
    X(FEATURE_UPDATE_FAILED, 96, false, "the feature levels could not be changed") \
    X(PRINCIPAL_DESERIALIZATION_FAILURE, 97, false, "the forwarded principal could not be read") \
    X(SNAPSHOT_NOT_FOUND, 98, false, "no such snapshot") \
    X(POSITION_OUT_OF_RANGE, 99, false, "the position lies outside the snapshot") \
    X(UNKNOWN_TOPIC_ID, 100, true, "no topic with this id here") \
    X(DUPLICATE_BROKER_REGISTRATION, 101, false, "another running broker has this id") \
    X(BROKER_ID_NOT_REGISTERED, 102, false, "no broker with this id is registered") \
    X(INCONSISTENT_TOPIC_ID, 103, true, "the topic id is not that of the log") \
    X(INCONSISTENT_CLUSTER_ID, 104, false, "the cluster id is not that of this cluster") \
    X(TRANSACTIONAL_ID_NOT_FOUND, 105, false, "no such transactional id") \
    X(FETCH_SESSION_TOPIC_ID_ERROR, 106, true, "the fetch session changed between topic names and ids") \
    X(INELIGIBLE_REPLICA, 107, false, "a proposed in-sync replica is not eligible") \
    X(NEW_LEADER_ELECTED, 108, false, "the in-sync replicas were changed, and with them the leader") \
    X(OFFSET_MOVED_TO_TIERED_STORAGE, 109, false, "the offset has moved to tiered storage") \
    X(FENCED_MEMBER_EPOCH, 110, false, "the group coordinator fenced this member epoch; join again") \
    X(UNRELEASED_INSTANCE_ID, 111, false, "the instance id is still held by another member") \
    X(UNSUPPORTED_ASSIGNOR, 112, false, "the group knows no such assignor") \
    X(STALE_MEMBER_EPOCH, 113, false, "the member epoch is old; heartbeat, then try again") \
    X(MISMATCHED_ENDPOINT_TYPE, 114, false, "wrong kind of endpoint for this request") \
    X(UNSUPPORTED_ENDPOINT_TYPE, 115, false, "this kind of endpoint is not supported") \
    X(UNKNOWN_CONTROLLER_ID, 116, false, "no controller with this id") \
    X(UNKNOWN_SUBSCRIPTION_ID, 117, false, "the telemetry subscription is unknown or old") \
    X(TELEMETRY_TOO_LARGE, 118, false, "the pushed telemetry is over the limit") \
    X(INVALID_REGISTRATION, 119, false, "the controller refuses this registration") \
    X(TRANSACTION_ABORTABLE, 120, false, "the transaction failed and must be aborted; the producer may go on") \
    X(INVALID_RECORD_STATE, 121, false, "the record's state does not allow this acknowledgement") \
    X(SHARE_SESSION_NOT_FOUND, 122, true, "the broker does not know this share session") \
    X(INVALID_SHARE_SESSION_EPOCH, 123, true, "the share session expected another epoch") \
    X(FENCED_STATE_EPOCH, 124, false, "the state epoch of the share group is old") \
    X(INVALID_VOTER_KEY, 125, false, "the voter's key is not that of this replica") \
    X(DUPLICATE_VOTER, 126, false, "the voter is in the set already") \
    X(VOTER_NOT_FOUND, 127, false, "the voter is not in the set") \
    X(INVALID_REGULAR_EXPRESSION, 128, false, "the regular expression is not valid") \
    X(REBOOTSTRAP_REQUIRED, 129, false, "the client's view of the cluster is obsolete; bootstrap again") \
    X(STREAMS_INVALID_TOPOLOGY, 130, false, "the streams topology is not valid") \
    X(STREAMS_INVALID_TOPOLOGY_EPOCH, 131, false, "the streams topology epoch is not valid") \
    X(STREAMS_TOPOLOGY_FENCED, 132, false, "the streams topology epoch is old") \
    X(SHARE_SESSION_LIMIT_REACHED, 133, true, "no room for another share session")
/* clang-format on */

enum kafka_error {
#define X(name, code, retriable, text) KAFKA_##name = code,
    KAFKA_ERROR_TABLE(X)
#undef X
};

#define KAFKA_ERROR_LAST KAFKA_SHARE_SESSION_LIMIT_REACHED

/* The name without prefix ("NOT_LEADER_OR_FOLLOWER"). Never NULL; a code outside the table is
 * "UNKNOWN_SERVER_ERROR", as clients treat it. */
const char *kafka_error_name(int16_t code);

/* One line for people. Never NULL; likewise. */
const char *kafka_error_text(int16_t code);

/* Whether a client may repeat the same request later and hope for better. False for codes outside the table.
 */
bool kafka_error_retriable(int16_t code);

#endif
