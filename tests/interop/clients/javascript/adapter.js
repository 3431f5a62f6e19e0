// kafkajs behind the command line that all adapters share; see tests/interop/README.md.
'use strict';

const { randomUUID } = require('node:crypto');
const kafkajs = require('kafkajs');
const { AssignerProtocol, CompressionCodecs, CompressionTypes, Kafka, Partitioners } = kafkajs;
const Snappy = require('kafkajs-snappy');
const LZ4 = require('kafkajs-lz4');
const { ZstdCodec } = require('zstd-codec');

const PATIENCE_MS = 60_000;
const [, , bootstrap, command, ...words] = process.argv;
const kafka = new Kafka({ clientId: 'interop', brokers: [bootstrap], logLevel: kafkajs.logLevel.ERROR });
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

// Only gzip is built in.
const useCodecs = () => new Promise((resolve) => {
  CompressionCodecs[CompressionTypes.Snappy] = Snappy;
  CompressionCodecs[CompressionTypes.LZ4] = new LZ4().codec;
  ZstdCodec.run((zstd) => {
    CompressionCodecs[CompressionTypes.ZSTD] = () => ({
      compress: async (encoder) => Buffer.from(new zstd.Simple().compress(encoder.buffer)),
      decompress: async (buffer) => Buffer.from(new zstd.Streaming().decompress(buffer)),
    });
    resolve();
  });
});

const unpacked = (text) => (text === null ? null : Buffer.from(text, 'base64'));
const packed = (value) => (value === null || value === undefined ? null : Buffer.from(value).toString('base64'));

// Headers are an object here: equal names stand together, in a list.
const toHeaders = (pairs) => {
  const headers = {};
  for (const [name, value] of pairs) (headers[name] ??= []).push(unpacked(value));
  return headers;
};
const fromHeaders = (headers) => Object.entries(headers ?? {})
  .flatMap(([name, values]) => [values].flat().map((value) => [name, packed(value)]));

const toMessage = (line) => ({
  partition: line.partition,
  key: unpacked(line.key),
  value: unpacked(line.value),
  headers: toHeaders(line.headers),
  timestamp: String(line.timestamp),
});
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const tellMessage = (topic, partition, message) => tell({
  topic,
  partition,
  offset: Number(message.offset),
  key: packed(message.key),
  value: packed(message.value),
  headers: fromHeaders(message.headers),
  timestamp: Number(message.timestamp),
});

const stdin = async () => {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString().split('\n').filter(Boolean).map((line) => JSON.parse(line));
};

const producerWith = (settings) => kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...settings });

// What is sent together is one batch here, and a batch has at most a megabyte.
function requests(messages) {
  const all = [[]];
  let size = 0;
  for (const message of messages) {
    size += message.value?.length ?? 0;
    if (size > 950_000) {
      all.push([]);
      size = message.value.length;
    }
    all.at(-1).push(message);
  }
  return all;
}

async function produce(topicsAndCodecs) {
  const messages = (await stdin()).map(toMessage);
  const producer = producerWith({});
  await producer.connect();
  for (let i = 0; i < topicsAndCodecs.length; i += 2) {
    const compression = CODECS[topicsAndCodecs[i + 1]];
    for (const some of requests(messages)) {
      await producer.send({ topic: topicsAndCodecs[i], compression, messages: some });
    }
  }
  await producer.disconnect();
}

async function consume(topicsAndCounts, readUncommitted) {
  const missing = new Map();
  for (let i = 0; i < topicsAndCounts.length; i += 2) missing.set(topicsAndCounts[i], Number(topicsAndCounts[i + 1]));
  const consumer = kafka.consumer({ groupId: `interop-${randomUUID()}`, readUncommitted, maxWaitTimeInMs: 200 });
  await consumer.connect();
  await consumer.subscribe({ topics: [...missing.keys()], fromBeginning: true });
  let last = Date.now();
  // The timer also keeps the process alive; without it Node would end silently, and with success.
  let watch;
  const all = new Promise((resolve, reject) => {
    watch = setInterval(() => {
      if (Date.now() - last > PATIENCE_MS) reject(new Error(`not there after a minute: ${JSON.stringify([...missing])}`));
    }, 500);
    consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 4,
      eachMessage: async ({ topic, partition, message }) => {
        last = Date.now();
        const left = missing.get(topic) - 1;
        missing.set(topic, left);
        tellMessage(topic, partition, message);
        if ([...missing.values()].every((n) => n <= 0)) resolve();
      },
    }).catch(reject);
  });
  await all.finally(() => clearInterval(watch));
  await consumer.disconnect();
}

// kafkajs has an assigner of its own only; this one is the `range` of the other clients.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  async assign({ members, topics }) {
    const assignments = new Map(members.map(({ memberId }) => [memberId, {}]));
    const sorted = members.map(({ memberId }) => memberId).sort();
    for (const topic of topics) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map((p) => p.partitionId).sort((a, b) => a - b);
      const share = Math.floor(partitions.length / sorted.length);
      const extra = partitions.length % sorted.length;
      let at = 0;
      sorted.forEach((member, i) => {
        const n = share + (i < extra ? 1 : 0);
        assignments.get(member)[topic] = partitions.slice(at, at + n);
        at += n;
      });
    }
    return [...assignments].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: 0, assignment }),
    }));
  },
  protocol({ topics }) {
    return { name: 'range', metadata: AssignerProtocol.MemberMetadata.encode({ version: 0, topics }) };
  },
});

async function member(topic, groupId) {
  const consumer = kafka.consumer({
    groupId, partitionAssigners: [range], sessionTimeout: 8000, heartbeatInterval: 1000, maxWaitTimeInMs: 200,
  });
  const ended = new Promise((resolve) => process.stdin.on('end', resolve).resume());
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    tell({ assigned: [...(payload.memberAssignment[topic] ?? [])].sort((a, b) => a - b) });
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    // By the interval alone it would not commit a tail without records: it looks at the clock when something has come.
    autoCommitInterval: 300,
    autoCommitThreshold: 5,
    eachMessage: async ({ partition, message }) => tellMessage(topic, partition, message),
  });
  await ended;
  await consumer.disconnect();
}

async function transact(transactionalId, topic) {
  const producer = producerWith({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const { records, end } of await stdin()) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: records.map(toMessage) });
    await (end === 'commit' ? transaction.commit() : transaction.abort());
  }
  await producer.disconnect();
}

const commands = {
  produce: () => produce(words),
  consume: () => consume(words, true),
  'consume-committed': () => consume(words, false),
  member: () => member(...words),
  transact: () => transact(...words),
};

useCodecs()
  .then(() => commands[command]())
  .then(() => process.stdout.write('', () => process.exit(0)))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
