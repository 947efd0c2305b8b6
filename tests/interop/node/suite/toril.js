/**
 * A Toril worker in the place of BullMQ's: the same calls, the same events, and the processor runs
 * in Node. The worker itself is in a Python process (tests/interop/suite/toril_host.py).
 */
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';

import { Job, Queue } from 'bullmq';

const NEVER_MS = 600_000;
const BUILT_IN_BACKOFFS = ['fixed', 'exponential'];

/** What a Toril worker does not have; the scenario fails with this. */
class Unsupported extends Error {
  constructor(what) {
    super(`a Toril worker has no ${what}`);
  }
}

/** A Python process that holds workers. Processes are kept for the next worker. */
class Host {
  static idle = [];
  static program;
  static all = new Set();

  static take() {
    return Host.idle.pop() ?? new Host();
  }

  static stop() {
    for (const host of Host.all) host.kill();
  }

  constructor() {
    const [command, folder] = Host.program;
    this.process = spawn(command, ['-m', 'tests.interop.suite.toril_host'], {
      cwd: folder,
      stdio: ['pipe', 'pipe', process.env.SUITE_LOG ? 'inherit' : 'ignore'],
    });
    this.process.stdin.on('error', () => {}); // it was killed
    Host.all.add(this);
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.worker?.hear(JSON.parse(line));
    });
  }

  say(line) {
    this.process.stdin.write(`${JSON.stringify(line)}\n`);
  }

  kill() {
    Host.all.delete(this);
    this.process.kill('SIGKILL');
  }
}

/** Where the Python program is: the interpreter, and the folder to start it in. */
export function useToril(interpreter, folder) {
  Host.program = [interpreter, folder];
}

export function endToril() {
  Host.stop();
}

let workers = 0;

export class TorilWorker extends EventEmitter {
  constructor(name, processor, opts) {
    super();
    this.name = name;
    this.processor = processor;
    this.opts = opts;
    this.number = workers += 1;
    this.queue = new Queue(name, {
      connection: opts.connection, prefix: opts.prefix, skipMetasUpdate: true,
    });
    this.queue.on('error', () => {});
    this.running = new Map(); // by the number of the run
    this.seen = new Map(); // by the job's id
    this.host = Host.take();
    this.host.worker = this;
    this.ready = new Promise((resolve, reject) => { this.heardReady = { resolve, reject }; });
    this.stopped = new Promise((resolve) => { this.heardStopped = resolve; });
    this.host.say({ do: 'work', worker: this.number, ...this.settings() });
  }

  settings() {
    const { connection, prefix, limiter, settings, ...opts } = this.opts;
    return {
      url: `redis://127.0.0.1:${connection.options.port}/0`,
      queue: this.name,
      prefix,
      limiter,
      strategies: settings?.backoffStrategy ? opts.backoffTypes ?? ['custom'] : [],
      settings: {
        concurrency: opts.concurrency ?? 1,
        lease: (opts.lockDuration ?? 30_000) / 1000,
        max_stalls: opts.maxStalledCount ?? 1,
        grace: NEVER_MS / 1000,
        report_every: 0,
      },
    };
  }

  waitUntilReady() {
    return this.ready;
  }

  /** End, once the running jobs have; or at once, as a crash would. */
  async close(force = false) {
    if (!this.closing) this.closing = force ? this.crash() : this.stop();
    await this.closing;
  }

  async crash() {
    this.host.kill();
    await this.queue.close();
  }

  async stop() {
    this.host.say({ do: 'stop', worker: this.number });
    await this.stopped;
    this.host.worker = null;
    Host.idle.push(this.host);
    await this.queue.close();
  }

  async rateLimit(ms) {
    await this.queue.rateLimit(ms);
  }

  cancelJob(id) {
    this.host.say({ do: 'cancel', worker: this.number, job: id });
    return true;
  }

  pause() { throw new Unsupported('pause of its own'); }

  resume() { throw new Unsupported('resume of its own'); }

  set concurrency(_) { throw new Unsupported('concurrency that changes while it runs'); }

  hear(line) {
    if (line.worker !== this.number) return;
    if (line.ready) this.heardReady.resolve(this);
    else if (line.stopped) this.heardStopped();
    else if (line.run) this.run(line);
    else if (line.interrupted) this.running.get(line.interrupted)?.abort();
    else if (line.event) this.publish(line);
    else if (line.error) {
      this.heardReady.reject(new Error(line.error));
      this.emit('error', new Error(line.error));
    }
  }

  async run({ run, job: seen }) {
    const controller = new AbortController();
    this.running.set(run, controller);
    let answer;
    try {
      const job = await this.jobOf(run, seen);
      answer = await this.process(job, seen.token, controller.signal);
    } catch (error) {
      answer = { error: { name: error.name, message: error.message } };
    }
    this.running.delete(run);
    if (!this.host.process.killed) {
      this.host.say({ do: 'answer', worker: this.number, run, ...answer });
    }
  }

  /** The job as BullMQ's own class, with what Toril's worker says of it. */
  async jobOf(run, seen) {
    const job = await Job.fromId(this.queue, seen.id)
      ?? new Job(this.queue, seen.name, seen.data, {}, seen.id);
    const { name, data, token, attemptsMade, attemptsStarted, priority } = seen;
    Object.assign(job, { name, data, token, attemptsMade, attemptsStarted, priority });
    job.updateProgress = async (value) => {
      this.host.say({ do: 'progress', worker: this.number, run, value });
      job.progress = value;
      this.emit('progress', job, value);
    };
    job.log = async (line) => {
      this.host.say({ do: 'log', worker: this.number, run, line });
    };
    job.moveToDelayed = async (timestamp) => {
      job.snooze = Math.max(0, timestamp - Date.now());
    };
    job.moveToWait = async () => { job.snooze = 0; };
    job.moveToWaitingChildren = async () => { throw new Unsupported('moveToWaitingChildren'); };
    this.seen.set(job.id, job);
    return job;
  }

  async process(job, token, signal) {
    try {
      job.returnvalue = (await this.processor(job, token, signal)) ?? null;
      return { return: job.returnvalue };
    } catch (error) {
      const { name, message } = error;
      if (name === 'RateLimitError') return { snooze: 0 };
      if (['DelayedError', 'WaitingError'].includes(name)) return { snooze: job.snooze };
      if (name === 'UnrecoverableError') return { unrecoverable: message };
      return { error: { name, message }, ...await this.backoff(job, error) };
    }
  }

  /** The delay of a strategy of the scenario's own. */
  async backoff(job, error) {
    const { backoffStrategy } = this.opts.settings ?? {};
    const { type } = job.opts.backoff ?? {};
    if (!backoffStrategy || !type || BUILT_IN_BACKOFFS.includes(type)) return {};
    return { backoff: await backoffStrategy(job.attemptsMade + 1, type, error, job) };
  }

  publish({ event, id, reason, made }) {
    const job = this.seen.get(id);
    if (event === 'active') this.emit('active', job ?? { id }, 'waiting');
    else if (event === 'completed') this.emit('completed', job, job?.returnvalue, 'active');
    else if (event === 'stalled') this.emit('stalled', id, 'active');
    else {
      if (job) Object.assign(job, { failedReason: reason, attemptsMade: made });
      this.emit('failed', job ?? { id, failedReason: reason }, new Error(reason), 'active');
    }
  }
}
