// franz-go behind the command line that all adapters share; see tests/interop/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const patience = 60 * time.Second

var out = bufio.NewWriterSize(os.Stdout, 1<<20)

// line is a record on stdin and on stdout; []byte is base64 in JSON, and nil is null.
type line struct {
	Topic     string   `json:"topic,omitempty"`
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
	Timestamp int64    `json:"timestamp"`
}

type header struct {
	name  string
	value []byte
}

func (h header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.name, h.value}) }

func (h *header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.name, &h.value})
}

type transaction struct {
	Records []line `json:"records"`
	End     string `json:"end"`
}

func must(err error) {
	if err != nil {
		out.Flush()
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append(options, kgo.SeedBrokers(os.Args[1]))...)
	must(err)
	return made
}

func lines[T any]() []T {
	var all []T
	decoder := json.NewDecoder(os.Stdin)
	for {
		var one T
		err := decoder.Decode(&one)
		if err == io.EOF {
			return all
		}
		must(err)
		all = append(all, one)
	}
}

func toRecord(topic string, l line) *kgo.Record {
	r := &kgo.Record{Topic: topic, Partition: l.Partition, Key: l.Key, Value: l.Value, Timestamp: time.UnixMilli(l.Timestamp)}
	for _, h := range l.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.name, Value: h.value})
	}
	return r
}

func tell(r *kgo.Record) {
	l := line{r.Topic, r.Partition, r.Offset, r.Key, r.Value, []header{}, r.Timestamp.UnixMilli()}
	for _, h := range r.Headers {
		l.Headers = append(l.Headers, header{h.Key, h.Value})
	}
	must(json.NewEncoder(out).Encode(l))
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	_ = cancel
	return ctx
}

func produce(words []string) {
	records := lines[line]()
	for i := 0; i+1 < len(words); i += 2 {
		c := client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec(words[i+1])),
			kgo.ProducerLinger(5*time.Millisecond), kgo.AllowAutoTopicCreation())
		var all []*kgo.Record
		for _, l := range records {
			all = append(all, toRecord(words[i], l))
		}
		must(c.ProduceSync(within(), all...).FirstErr())
		c.Close()
	}
}

func consume(words []string, isolation kgo.IsolationLevel) {
	missing := map[string]int{}
	var topics []string
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.Atoi(words[i+1])
		must(err)
		missing[words[i]] = n
		topics = append(topics, words[i])
	}
	c := client(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(isolation), kgo.FetchMaxWait(200*time.Millisecond))
	defer c.Close()
	for left := sum(missing); left > 0; left = sum(missing) {
		fetches := c.PollFetches(within())
		if err := fetches.Err(); err != nil {
			must(fmt.Errorf("%w; still missing: %v", err, missing))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			missing[r.Topic]--
			tell(r)
		})
	}
}

func sum(missing map[string]int) (left int) {
	for _, n := range missing {
		left += max(n, 0)
	}
	return left
}

// member lives until stdin closes; it tells every assignment and every record.
func member(topic, group string) {
	mine := []int32{}
	assigned := func(change func(int32)) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			for _, p := range partitions[topic] {
				change(p)
			}
			slices.Sort(mine)
			must(json.NewEncoder(out).Encode(map[string]any{"assigned": mine}))
			out.Flush()
		}
	}
	gone := func(p int32) { mine = slices.DeleteFunc(mine, func(q int32) bool { return q == p }) }
	revoked := assigned(gone)
	c := client(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(8*time.Second),
		kgo.HeartbeatInterval(time.Second), kgo.AutoCommitInterval(300*time.Millisecond), kgo.AutoCommitMarks(),
		// It commits behind what it was handed: without them a tail of markers stays uncommitted.
		kgo.KeepControlRecords(),
		kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.OnPartitionsAssigned(assigned(func(p int32) { mine = append(mine, p) })),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, partitions map[string][]int32) {
			must(c.CommitMarkedOffsets(ctx))
			revoked(ctx, c, partitions)
		}),
		kgo.OnPartitionsLost(assigned(gone)))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for ctx.Err() == nil {
		fetches := c.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				tell(r)
			}
			c.MarkCommitRecords(r)
		})
		out.Flush()
		c.AllowRebalance()
	}
	c.CloseAllowingRebalance()
}

// transact makes one transaction of each line of stdin.
func transact(id, topic string) {
	c := client(kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowAutoTopicCreation())
	defer c.Close()
	for _, t := range lines[transaction]() {
		must(c.BeginTransaction())
		var all []*kgo.Record
		for _, l := range t.Records {
			all = append(all, toRecord(topic, l))
		}
		must(c.ProduceSync(within(), all...).FirstErr())
		must(c.EndTransaction(within(), kgo.TransactionEndTry(t.End == "commit")))
	}
}

// copyRecords consumes, writes and commits the position in one transaction per poll, until n records are copied.
func copyRecords(from, to, group, id, n string) {
	left, err := strconv.Atoi(n)
	must(err)
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(os.Args[1]), kgo.TransactionalID(id),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.AllowAutoTopicCreation())
	must(err)
	defer session.Close()
	for left > 0 {
		fetches := session.PollRecords(within(), 7)
		must(fetches.Err())
		must(session.Begin())
		copied := 0
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(context.Background(), &kgo.Record{Topic: to, Partition: r.Partition, Key: r.Key, Value: r.Value},
				func(_ *kgo.Record, err error) { must(err) })
			copied++
		})
		committed, err := session.End(within(), kgo.TryCommit)
		must(err)
		if committed {
			left -= copied
		}
	}
}

func main() {
	words := os.Args[3:]
	switch os.Args[2] {
	case "produce":
		produce(words)
	case "consume":
		consume(words, kgo.ReadUncommitted())
	case "consume-committed":
		consume(words, kgo.ReadCommitted())
	case "member":
		member(words[0], words[1])
	case "transact":
		transact(words[0], words[1])
	case "copy":
		copyRecords(words[0], words[1], words[2], words[3], words[4])
	default:
		must(fmt.Errorf("no such command: %s", os.Args[2]))
	}
	out.Flush()
}
