/**
 * BullMQ under faults: a producer or a worker on Toril's queue, which keeps a ledger as Toril's
 * do (tests/faults/ledger.py). It ends when stdin does, and in peace at SIGTERM.
 *
 *   node faults.js '{"work": 10, "port": 6379, "queue": "work", "lock_ms": 3000}'
 *   node faults.js '{"bulk": 25, "port": 6379, "queue": "work", "name": "node-1", "pause_ms": 50}'
 */
import { constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Queue, Worker } from 'bullmq';

const config = JSON.parse(process.argv[2]);
const { FAULTS_LEDGER: folder, FAULTS_ACTOR: actor } = process.env;
const MOST_STALLS = 20;
const AGAIN_MS = 100;
const connection = {
  host: '127.0.0.1',
  port: config.port,
  retryStrategy: () => AGAIN_MS,
};

const ledger = openSync(join(folder, `${actor}.${process.pid}.jsonl`), 'a', 0o600);
const bell = openSync(join(folder, 'bell'), constants.O_WRONLY | constants.O_NONBLOCK);

function write(type, entry) {
  writeSync(ledger, `${JSON.stringify({ type, ...entry })}\n`);
  try {
    writeSync(bell, '.');
  } catch (error) {
    if (error.code !== 'EAGAIN') throw error; // it is full: it has been rung already
  }
}

/** Seconds of the clock that all processes of the machine share. */
const now = () => Number(process.hrtime.bigint()) / 1e9;
const note = (text, level = 'NOTE') => write('said', { level, text });

/** Add jobs until told to stop; an error leaves it open whether they are there. */
async function produce() {
  const queue = new Queue(config.queue, {
    connection: { ...connection, maxRetriesPerRequest: 1, enableOfflineQueue: false },
  });
  queue.on('error', () => {}); // the adds tell
  let over = false;
  process.once('SIGTERM', () => { over = true; });
  await queue.waitUntilReady();
  note('ready');
  for (let n = 0; !over; n += config.bulk) {
    const ids = Array.from({ length: config.bulk }, (_, i) => `${config.name}-${n + i}`);
    const jobs = ids.map((jobId) => ({ name: 'nap', data: { ms: config.ms }, opts: { jobId } }));
    write('invoke', { ids });
    try {
      if (config.bulk === 1) await queue.add(jobs[0].name, jobs[0].data, jobs[0].opts);
      else await queue.addBulk(jobs);
      write('ok', { ids });
    } catch (error) {
      write('info', { ids, why: `${error}` });
      await sleep(AGAIN_MS);
    }
    await sleep(Math.random() * config.pause_ms);
  }
}

async function nap(job) {
  const { id, token, attemptsStarted: number } = job;
  write('started', { id, token, number, at: now() });
  await sleep(job.data.ms ?? 0);
  job.endedAt = now();
  write('ended', { id, token, at: job.endedAt });
}

async function work() {
  const worker = new Worker(config.queue, nap, {
    connection: { ...connection, maxRetriesPerRequest: null },
    concurrency: config.work,
    lockDuration: config.lock_ms,
    stalledInterval: config.lock_ms / 3,
    maxStalledCount: MOST_STALLS,
  });
  worker.on('error', (error) => note(`${error}`, 'INFO'));
  worker.on('completed', ({ id, token, attemptsStarted: number, endedAt: begun }) => {
    write('settled', { id, token, number, kind: 'Complete', begun, taken: true });
    write('heard', { id, token });
  });
  await worker.waitUntilReady();
  note('ready');
  await new Promise((resolve) => { process.once('SIGTERM', resolve); });
  await worker.close();
}

process.stdin.resume().on('end', () => process.exit(1));
await (config.work ? work() : produce());
process.exit(0);
