// SPDX-License-Identifier: Apache-2.0

// franz-go: groups of both protocols with a rebalance and resuming; a transaction. Usage: franz BOOTSTRAP CASE; prints "ok" last.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions, records = 6, 300

var brokers []string

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...)
	must(err)
	return c
}

func until(what string, holds func() bool) {
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			must(fmt.Errorf("not in time: %s", what))
		}
	}
}

func fill(topic string) {
	c := client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	for i := 0; i < records; i++ {
		must(c.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte("v")}).FirstErr())
	}
}

type member struct {
	c              *kgo.Client
	read, assigned atomic.Int64
	done           chan struct{}
}

func join(ctx context.Context, group, topic string) *member {
	m := &member{done: make(chan struct{})}
	count := func(sign int64) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, c *kgo.Client, parts map[string][]int32) {
			if sign < 0 {
				c.CommitUncommittedOffsets(ctx)
			}
			m.assigned.Add(sign * int64(len(parts[topic])))
		}
	}
	m.c = client(kgo.WithContext(ctx), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1)))
	go func() {
		defer close(m.done)
		for {
			fetches := m.c.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			m.read.Add(int64(fetches.NumRecords()))
		}
	}()
	return m
}

func (m *member) leave() {
	m.c.CommitUncommittedOffsets(context.Background())
	m.c.Close()
	<-m.done
}

func makeTopic(topic string) {
	c := client()
	defer c.Close()
	_, err := kadm.NewClient(c).CreateTopic(context.Background(), partitions, 3, nil, topic)
	must(err)
}

func group(ctx context.Context, name string) {
	makeTopic(name)
	fill(name)
	a := join(ctx, name, name)
	until("everything is read", func() bool { return a.read.Load() == records })
	b := join(ctx, name, name)
	until("shared", func() bool { return a.assigned.Load() == partitions/2 && b.assigned.Load() == partitions/2 })
	a.leave()
	until("taken over", func() bool { return b.assigned.Load() == partitions })
	b.leave()
	fill(name)
	c := join(ctx, name, name)
	until("what is new is read", func() bool { return c.read.Load() >= records })
	c.leave()
	if c.read.Load() != records {
		must(fmt.Errorf("read %d", c.read.Load()))
	}
}

func transaction() {
	makeTopic("franz-txn")
	c := client(kgo.TransactionalID("franz"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		must(c.BeginTransaction())
		must(c.ProduceSync(context.Background(), &kgo.Record{Topic: "franz-txn", Value: []byte(fmt.Sprint(bool(end)))}).FirstErr())
		must(c.EndTransaction(context.Background(), end))
	}
	c.Close()
	r := client(kgo.ConsumeTopics("franz-txn"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer r.Close()
	for read := 0; read < 1; {
		r.PollFetches(context.Background()).EachRecord(func(rec *kgo.Record) {
			read++
			if string(rec.Value) != "true" {
				must(fmt.Errorf("read %q", rec.Value))
			}
		})
	}
}

func main() {
	brokers = strings.Split(os.Args[1], ",")
	switch os.Args[2] {
	case "classic":
		group(context.Background(), "franz-classic")
	case "consumer":
		group(context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true), "franz-consumer")
	case "transaction":
		transaction()
	}
	fmt.Println("ok")
}
