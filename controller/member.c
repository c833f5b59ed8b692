/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"

#define PREFIX "node-"

uint64_t member_raft_id(int32_t node_id, struct uuid directory_id)
{
    ASSERT(node_id >= 0);
    uint64_t low = (uint64_t)node_id + 1; /* libraft's ids start at 1, Kafka's node ids at 0 */
    if (uuid_is_zero(directory_id))
        return low;
    uint64_t disk = crc32c(0, directory_id.b, sizeof(directory_id.b)) & 0x7fffffffu;
    return (disk | 1) << 32 | low;
}

int32_t member_node_id(uint64_t raft_id)
{
    return raft_id == 0 ? -1 : (int32_t)((raft_id & 0xffffffffu) - 1);
}

void member_format(const struct consensus_member *member, char out[MEMBER_TEXT_MAX])
{
    char disk[UUID_TEXT_MAX], addr[ENV_HOST_MAX + 8];
    int len;
    if (uuid_is_zero(member->directory_id)) {
        len = snprintf(out, MEMBER_TEXT_MAX, PREFIX "%d", member->node_id);
    } else {
        uuid_format(member->directory_id, disk);
        len = snprintf(out, MEMBER_TEXT_MAX, PREFIX "%d/%s/%s", member->node_id, disk,
                       env_addr_format(&member->addr, addr));
    }
    ASSERT(len > 0 && len < MEMBER_TEXT_MAX);
}

enum err member_parse(const char *text, struct consensus_member *ret_member)
{
    struct consensus_member m = {.voter = ret_member->voter};
    char *end;
    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
        return ERR_MALFORMED;
    long id = strtol(text + strlen(PREFIX), &end, 10);
    if (end == text + strlen(PREFIX) || id < 0 || id >= INT32_MAX || (*end != 0 && *end != '/'))
        return ERR_MALFORMED;
    m.node_id = (int32_t)id;
    if (*end == '/') {
        const char *disk = end + 1;
        const char *stop = strchr(disk, '/');
        if (stop == NULL || uuid_parse((struct str){disk, (int32_t)(stop - disk)}, &m.directory_id) != OK ||
            uuid_is_zero(m.directory_id) || env_addr_parse(stop + 1, &m.addr) != OK)
            return ERR_MALFORMED;
    }
    *ret_member = m;
    return OK;
}
