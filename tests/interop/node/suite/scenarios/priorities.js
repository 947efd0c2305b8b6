import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('priorities');

const MOST = 2_097_151;

/** Run all jobs, one after the other, and return their names in the order in which they ran. */
async function orderOf(s, jobs) {
  const order = [];
  await s.work(async ({ name }) => { order.push(name); });
  await s.results(jobs);
  return order;
}

scenario('the lower number runs first', async (s) => {
  const jobs = [];
  for (const priority of [3, 1, 2, 5, 4]) jobs.push(await s.add(`${priority}`, {}, { priority }));
  assert.deepEqual(await orderOf(s, jobs), ['1', '2', '3', '4', '5']);
});

scenario('jobs without a priority run before those with one', async (s) => {
  const jobs = [await s.add('high', {}, { priority: 1 }), await s.add('none'), await s.add('zero', {}, { priority: 0 })];
  assert.deepEqual(await orderOf(s, jobs), ['none', 'zero', 'high']);
});

scenario('jobs of one priority run in the order in which they were added', async (s) => {
  const jobs = [];
  for (let n = 0; n < 12; n += 1) jobs.push(await s.add(`${n}`, {}, { priority: 7 }));
  assert.deepEqual(await orderOf(s, jobs), [...Array(12).keys()].map(String));
});

scenario('the greatest priority is last, and in order', async (s) => {
  const jobs = [];
  for (const name of ['x', 'y', 'z']) jobs.push(await s.add(name, {}, { priority: MOST }));
  jobs.push(await s.add('first', {}, { priority: MOST - 1 }));
  assert.deepEqual(await orderOf(s, jobs), ['first', 'x', 'y', 'z']);
});

scenario('a greater priority than the greatest is refused', async (s) => {
  await assert.rejects(s.add('a', {}, { priority: MOST + 1 }));
  await assert.rejects(s.add('a', {}, { priority: 1.5 }));
});

scenario('a job with a priority wakes an idle worker', async (s) => {
  await s.work(async () => 'awake');
  assert.equal(await s.result(await s.add('a', {}, { priority: 10 })), 'awake');
  assert.equal(await s.result(await s.add('b', {}, { priority: 1 })), 'awake');
});

scenario('a more urgent job overtakes those that wait', async (s) => {
  const order = [];
  const gate = s.gate();
  await s.work(async ({ name }) => {
    order.push(name);
    if (name === 'first') await gate.wait();
  });
  const first = await s.add('first', {}, { priority: 9 });
  await s.reaches(first, 'active');
  const jobs = [await s.add('second', {}, { priority: 9 }), await s.add('urgent', {}, { priority: 1 })];
  gate.open();
  await s.results(jobs);
  assert.deepEqual(order, ['first', 'urgent', 'second']);
});

scenario('jobs that are added together run by their priorities', async (s) => {
  const jobs = await s.queue().addBulk([4, 2, 3, 1].map((priority) => (
    { name: `${priority}`, opts: { priority } })));
  assert.deepEqual(await orderOf(s, jobs), ['1', '2', '3', '4']);
});

scenario('the priority of a waiting job can be changed', async (s) => {
  const jobs = [await s.add('a'), await s.add('b'), await s.add('c', {}, { priority: 3 })];
  await jobs[0].changePriority({ priority: 5 });
  assert.equal(await s.queue().getJobState(jobs[0].id), 'prioritized');
  assert.deepEqual(await orderOf(s, jobs), ['b', 'c', 'a']);
});

scenario('the priority of a prioritized job can be changed', async (s) => {
  const jobs = [];
  for (const priority of [1, 2, 3]) jobs.push(await s.add(`${priority}`, {}, { priority }));
  await jobs[0].changePriority({ priority: 9 });
  assert.deepEqual(await orderOf(s, jobs), ['2', '3', '1']);
  assert.equal((await s.queue().getJob(jobs[0].id)).priority, 9);
});

scenario('a priority can be taken away', async (s) => {
  const jobs = [await s.add('a', {}, { priority: 1 }), await s.add('b', {}, { priority: 2 })];
  await jobs[1].changePriority({ priority: 0 });
  assert.equal(await s.queue().getJobState(jobs[1].id), 'waiting');
  assert.deepEqual(await orderOf(s, jobs), ['b', 'a']);
});

scenario('a changed priority with lifo puts a job before its equals', async (s) => {
  const jobs = [];
  for (const name of ['a', 'b', 'c']) jobs.push(await s.add(name, {}, { priority: 4 }));
  await jobs[2].changePriority({ priority: 4, lifo: true });
  assert.deepEqual(await orderOf(s, jobs), ['c', 'a', 'b']);
});

scenario('prioritized jobs are counted by their priorities', async (s) => {
  for (const priority of [1, 2, 2, 3, 0]) await s.add('a', {}, { priority });
  assert.deepEqual(await s.queue().getCountsPerPriority([0, 1, 2, 3]), { 0: 1, 1: 1, 2: 2, 3: 1 });
  await s.work(async () => {});
  await s.until(async () => await s.queue().getCompletedCount() === 5, 'all to complete');
  assert.deepEqual(await s.queue().getCountsPerPriority([0, 1, 2, 3]), { 0: 0, 1: 0, 2: 0, 3: 0 });
});

scenario('a job that is retried after a backoff keeps its priority', async (s) => {
  const order = [];
  const gate = s.gate();
  const flaky = await s.add('flaky', {}, { priority: 2, attempts: 2, backoff: 100 });
  await s.work(async ({ name, attemptsMade }) => {
    order.push(name);
    if (name === 'flaky' && attemptsMade === 0) throw new Error('once');
    if (name === 'long') await gate.wait();
  });
  await s.reaches(flaky, 'delayed');
  const long = await s.add('long');
  await s.until(() => order.includes('long'), 'the long job');
  const jobs = [await s.add('low', {}, { priority: 8 }), await s.add('urgent', {}, { priority: 1 })];
  const due = Date.now() + 200;
  await s.until(() => Date.now() > due, 'the flaky job to be due');
  gate.open();
  await s.results([flaky, long, ...jobs]);
  const rest = order.slice(order.indexOf('long') + 1);
  assert.ok(['urgent,flaky,low', 'urgent,low'].includes(`${rest}`), order);
});

scenario('the counter of turns starts again without disorder', async (s) => {
  await s.connection.set(s.key('pc'), 4_294_967_290);
  const jobs = [];
  for (let n = 0; n < 5; n += 1) jobs.push(await s.add(`${n}`, {}, { priority: 2 }));
  jobs.push(await s.add('urgent', {}, { priority: 1 }));
  assert.equal((await orderOf(s, jobs))[0], 'urgent');
});
