/** What a scenario has: queues, a worker of the kind that is tested, events, and ways to wait. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq';

import { audit } from './audit.js';
import { TorilWorker } from './toril.js';

const PATIENCE_MS = 25_000;
const EVENTS = [
  'active', 'added', 'cleaned', 'completed', 'deduplicated', 'delayed', 'drained', 'duplicated',
  'failed', 'paused', 'progress', 'removed', 'resumed', 'retries-exhausted', 'stalled', 'waiting',
  'waiting-children',
];

export class Stage {
  constructor(kind, connection) {
    this.kind = kind;
    this.connection = connection;
    this.prefix = 'suite';
    this.base = `${kind}-${randomUUID().slice(0, 8)}`;
    this.store = { connection, prefix: this.prefix };
    this.queues = new Map();
    this.logs = new Map();
    this.followers = new Map();
    this.workers = [];
    this.gates = [];
    this.waitsFor = 'nothing';
  }

  /** The name of one of the scenario's queues. */
  name(which = 'q') {
    return `${this.base}-${which}`;
  }

  queue(which = 'q', opts = {}) {
    if (!this.queues.has(which)) {
      const queue = new Queue(this.name(which), { ...this.store, ...opts });
      queue.setMaxListeners(0);
      queue.on('error', () => {});
      this.queues.set(which, queue);
    }
    return this.queues.get(which);
  }

  add(name, data = {}, opts = {}) {
    return this.queue().add(name, data, opts);
  }

  flows() {
    this.producer ??= new FlowProducer(this.store);
    return this.producer;
  }

  /** A flow's node, in one of the scenario's queues. */
  node(which, jobId, opts = {}, children = undefined) {
    const name = this.name(which);
    return { name: jobId, queueName: name, data: {}, opts: { jobId, ...opts }, children };
  }

  flow(which, jobId, opts, children) {
    return this.flows().add(this.node(which, jobId, opts, children));
  }

  /** Start a worker. Its options are BullMQ's, and `queue`. */
  async work(processor, { queue = 'q', ...opts } = {}) {
    const Kind = this.kind === 'toril' ? TorilWorker : Worker;
    const worker = new Kind(this.name(queue), processor, { ...this.store, ...opts });
    worker.on('error', () => {});
    this.workers.push(worker);
    await worker.waitUntilReady();
    return worker;
  }

  /** The events of a queue from its first on. */
  async follow(which = 'q') {
    if (!this.followers.has(which)) {
      const follower = new QueueEvents(this.name(which), { ...this.store, lastEventId: '0-0' });
      const log = [];
      follower.setMaxListeners(0);
      follower.on('error', () => {});
      for (const event of EVENTS) {
        follower.on(event, (args) => log.push({ event, ...(args.jobId || args.prev ? args : {}) }));
      }
      this.followers.set(which, follower);
      this.logs.set(which, log);
    }
    await this.followers.get(which).waitUntilReady();
    return this.logs.get(which);
  }

  /** Wait for an event, of a job if given, and return it. */
  async heard(event, jobId = undefined, which = 'q') {
    const log = await this.follow(which);
    const found = () => log.find((one) => one.event === event && (!jobId || one.jobId === jobId));
    return this.until(found, `the event ${event} of ${jobId ?? 'any job'}`);
  }

  /** Wait for the result of a job; rejects with the reason if it fails. */
  async result(job, which = 'q') {
    await this.follow(which);
    this.waitsFor = `the result of ${job.id}`;
    return job.waitUntilFinished(this.followers.get(which), PATIENCE_MS);
  }

  results(jobs, which = 'q') {
    return Promise.all(jobs.map((job) => this.result(job, which)));
  }

  /** Wait until a job is in a state. */
  async reaches(job, state, which = 'q') {
    const id = job.id ?? job;
    let found;
    await this.until(async () => {
      found = await this.queue(which).getJobState(id);
      return found === state;
    }, () => `${id} to be ${state} (it is ${found})`);
  }

  /** Wait until a function returns something true, and return it. */
  async until(condition, what) {
    const giveUp = Date.now() + PATIENCE_MS;
    const text = () => (typeof what === 'function' ? what() : what);
    this.waitsFor = text();
    for (;;) {
      const found = await condition();
      if (found) return found;
      if (Date.now() > giveUp) throw new Error(`waited in vain for ${text()}`);
      await sleep(15);
    }
  }

  /** What a processor can wait for, and the scenario opens. It is open once the scenario ends. */
  gate() {
    let open;
    const gate = new Promise((resolve) => { open = resolve; });
    this.gates.push(open);
    return { wait: () => gate, open };
  }

  key(rest, which = 'q') {
    return `${this.prefix}:${this.name(which)}:${rest}`;
  }

  /** Close everything, and return what is wrong with the jobs that are left. */
  async end() {
    this.gates.forEach((open) => open());
    await Promise.all(this.workers.map((worker) => worker.close()));
    const wrong = await audit(this.connection, `${this.prefix}:${this.base}-*`);
    await Promise.all([...this.queues.values(), ...this.followers.values(), this.producer]
      .map((one) => one?.close()));
    return wrong;
  }
}

const scenarios = [];
let group;

/** Say which behaviour the next scenarios are about. */
export function about(behaviour) {
  group = behaviour;
}

export function scenario(title, run) {
  scenarios.push({ group, title, run });
}

export function allScenarios() {
  return scenarios;
}
