/**
 * BullMQ on the other side: does what it is told in lines of JSON on stdin, and answers in lines
 * of JSON on stdout. It ends when stdin does.
 *
 *   {"id": 1, "do": "queue", "queue": "q", "method": "getJobCounts", "args": []}
 *   {"id": 1, "answer": {"waiting": 3}}      or      {"id": 1, "error": "why it went wrong"}
 *
 * What happens without being asked for comes as {"queue": "q", "event": "completed", "args": {}}.
 */
import { createInterface } from 'node:readline';

import { Cluster } from 'ioredis';

import { serveBoard } from './board.js';

/** BullMQ, or an older one (../node5): BULLMQ is the path of its main module. */
const {
  FlowProducer,
  Job,
  Queue,
  QueueEvents,
  UnrecoverableError,
  Worker,
} = await import(process.env.BULLMQ ?? 'bullmq');

/** Its arguments: the ports of a server, or of a cluster's nodes with commas; and the prefix. */
const [ports, prefix = 'bull'] = process.argv.slice(2);
const hosts = ports.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const patience = { maxRetriesPerRequest: null };
const store = {
  connection: hosts.length > 1
    ? new Cluster(hosts, { redisOptions: patience })
    : { ...hosts[0], ...patience },
  prefix,
};
const EVERY_EVENT = { lastEventId: '0-0' };
const EVENTS = [
  'active', 'added', 'cleaned', 'completed', 'deduplicated', 'delayed', 'drained', 'duplicated',
  'failed', 'paused', 'progress', 'removed', 'resumed', 'retries-exhausted', 'stalled', 'waiting',
  'waiting-children',
];

const queues = new Map();
const followers = new Map();
const workers = new Map();
let flows;
let open;
let gate = new Promise((resolve) => { open = resolve; });

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function queue(name) {
  if (!queues.has(name)) queues.set(name, new Queue(name, store));
  return queues.get(name);
}

/** All events of a queue, from its first. */
function follower(name) {
  if (!followers.has(name)) {
    const events = new QueueEvents(name, { ...store, ...EVERY_EVENT });
    events.setMaxListeners(0);
    for (const event of EVENTS) {
      // `drained` comes with nothing but its place in the stream.
      events.on(event, (args) => say({ queue: name, event, args: Object(args) === args ? args : {} }));
    }
    events.on('error', (error) => say({ queue: name, event: 'error', args: { error: `${error}` } }));
    followers.set(name, events);
  }
  return followers.get(name);
}

async function job(name, id) {
  const found = await queue(name).getJob(id);
  if (!found) throw new Error(`no job ${id}`);
  return found;
}

/** What a worker here does with a job, by the job's name; others are echoed. */
const handlers = {
  echo: async ({ data }) => data,
  fail: async ({ data, attemptsMade }) => {
    if (attemptsMade < (data.times ?? Infinity)) throw new Error(data.reason ?? 'broken');
    return `after ${attemptsMade}`;
  },
  hopeless: async ({ data }) => { throw new UnrecoverableError(data.reason); },
  hold: async () => { await gate; return 'released'; },
  stumble: async ({ attemptsMade }) => {
    if (attemptsMade > 0) return 'got up';
    await gate;
    throw new Error('stumbled');
  },
  report: async (running) => {
    await running.updateProgress({ done: 50 });
    await running.log('first line');
    await running.log('second line');
    return 'reported';
  },
  children: async (parent) => ({
    values: Object.values(await parent.getChildrenValues()),
    ignored: Object.values(await parent.getIgnoredChildrenFailures()),
  }),
};

function describe(job) {
  const {
    id, name, data, opts, progress, returnvalue, failedReason, stacktrace, attemptsMade,
    attemptsStarted, stalledCounter, delay, priority, timestamp, processedOn, finishedOn,
    processedBy, deduplicationId, parentKey, queueName,
  } = job;
  return {
    id, name, data, opts, progress, returnvalue, failedReason, stacktrace, attemptsMade,
    attemptsStarted, stalledCounter, delay, priority, timestamp, processedOn, finishedOn,
    processedBy, deduplicationId, parentKey, queueName,
  };
}

function plain(value) {
  if (value instanceof Job) return describe(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value?.job instanceof Job) {
    return { ...describe(value.job), children: plain(value.children ?? []) };
  }
  return value ?? null;
}

/** BullMQ 5 counts the waiting jobs of a paused queue by themselves. */
async function countsOf(name, args) {
  const { paused = 0, ...counts } = await queue(name).getJobCounts(...args);
  if ('waiting' in counts) counts.waiting += paused;
  return counts;
}

const commands = {
  queue: ({ queue: name, method, args }) => (
    method === 'getJobCounts' ? countsOf(name, args) : queue(name)[method](...args)),
  look: ({ queue: name, job: id }) => job(name, id),
  job: async ({ queue: name, job: id, method, args }) => (await job(name, id))[method](...args),
  flow: ({ method, args }) => {
    flows ??= new FlowProducer(store);
    return flows[method](...args);
  },
  follow: async ({ queue: name }) => { await follower(name).waitUntilReady(); },
  finished: async ({ queue: name, job: id, ttl }) =>
    (await job(name, id)).waitUntilFinished(follower(name), ttl),
  work: async ({ queue: name, options }) => {
    const worker = new Worker(
      name,
      (running) => (handlers[running.name] ?? handlers.echo)(running),
      { ...store, ...options },
    );
    worker.on('error', (error) => say({ queue: name, event: 'error', args: { error: `${error}` } }));
    workers.set(name, worker);
    await worker.waitUntilReady();
  },
  rest: async ({ queue: name }) => { await workers.get(name).close(); },
  release: () => {
    open();
    gate = new Promise((resolve) => { open = resolve; });
  },
  board: async ({ queues: names }) => {
    const server = await serveBoard(names.map(queue));
    return server.address().port;
  },
};

async function obey({ id, do: what, ...rest }) {
  try {
    say({ id, answer: plain(await commands[what](rest)) });
  } catch (error) {
    say({ id, error: error.message });
  }
}

for await (const line of createInterface({ input: process.stdin })) obey(JSON.parse(line));
process.exit(0);
