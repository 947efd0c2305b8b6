import assert from 'node:assert/strict';

import { WaitingChildrenError } from 'bullmq';

import { kids, workers } from '../families.js';
import { about, scenario } from '../stage.js';

about('flows');

const LONG = 600_000;

const NOTHING = { values: [], ignored: [] };

scenario('a parent runs once its children have, with their results', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y', 'z']));
  assert.equal(await s.queue().getJobState('parent'), 'waiting-children');
  await workers(s);
  assert.deepEqual(await s.result(job), { ...NOTHING, values: ['x', 'y', 'z'] });
});

scenario('parents and children may be in one queue', async (s) => {
  const order = [];
  const { job } = await s.flow('q', 'parent', {}, ['x', 'y'].map((id) => s.node('q', id)));
  await s.work(async ({ name }) => { order.push(name); });
  await s.result(job);
  assert.equal(order.at(-1), 'parent');
  assert.equal(order.length, 3);
});

scenario('a flow of three generations runs from the youngest on', async (s) => {
  const order = [];
  const { job } = await s.flow('q', 'grandparent', {}, [
    s.node('q', 'parent-1', {}, [s.node('q', 'kid-1'), s.node('q', 'kid-2')]),
    s.node('q', 'parent-2', {}, [s.node('q', 'kid-3')]),
  ]);
  await s.work(async ({ name }) => { order.push(name); });
  await s.result(job);
  for (const [first, second] of [
    ['kid-1', 'parent-1'], ['kid-2', 'parent-1'], ['kid-3', 'parent-2'],
    ['parent-1', 'grandparent'], ['parent-2', 'grandparent'],
  ]) assert.ok(order.indexOf(first) < order.indexOf(second), order);
});

scenario('a chain of jobs runs one after the other', async (s) => {
  const order = [];
  let node = s.node('q', 'j9');
  for (let n = 8; n >= 0; n -= 1) node = s.node('q', `j${n}`, {}, [node]);
  const { job } = await s.flows().add(node);
  await s.work(async ({ name }) => { order.push(name); });
  await s.result(job);
  assert.deepEqual(order, ['j9', 'j8', 'j7', 'j6', 'j5', 'j4', 'j3', 'j2', 'j1', 'j0']);
});

scenario('several flows can be added at once', async (s) => {
  const flows = await s.flows().addBulk([
    s.node('q', 'p1', {}, kids(s, ['x'])), s.node('q', 'p2', {}, kids(s, ['y'])),
  ]);
  await workers(s);
  const results = await s.results(flows.map(({ job }) => job));
  assert.deepEqual(results.map(({ values }) => values), [['x'], ['y']]);
});

scenario('a parent without children runs at once', async (s) => {
  await workers(s);
  const { job } = await s.flow('q', 'parent', {}, []);
  assert.deepEqual(await s.result(job), NOTHING);
});

scenario('a parent waits for ever for a child that failed', async (s) => {
  await s.flow('q', 'parent', {}, kids(s, ['bad', 'good']));
  await workers(s);
  await s.reaches('good', 'completed', 'kids');
  await s.reaches('bad', 'failed', 'kids');
  assert.equal(await s.queue().getJobState('parent'), 'waiting-children');
});

scenario('a parent fails with its child, if the child says so', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['bad'], { failParentOnFailure: true }));
  await workers(s);
  await assert.rejects(s.result(job), /child .*bad failed/);
});

scenario('a failure goes up to the grandparent, if all say so', async (s) => {
  const opts = { failParentOnFailure: true };
  const { job } = await s.flow('q', 'grandparent', {}, [s.node('q', 'parent', opts, kids(s, ['bad'], opts))]);
  await workers(s);
  await assert.rejects(s.result(job), /child .*parent failed/);
  assert.equal(await s.queue().getJobState('parent'), 'failed');
});

scenario('a failure stops at the parent that does not hand it on', async (s) => {
  await s.flow('q', 'grandparent', {}, [
    s.node('q', 'parent', {}, kids(s, ['bad'], { failParentOnFailure: true }))]);
  await workers(s);
  await s.reaches('parent', 'failed');
  assert.equal(await s.queue().getJobState('grandparent'), 'waiting-children');
});

scenario('a parent ignores a failed child, if the child says so', async (s) => {
  const { job } = await s.flow('q', 'parent', {},
    kids(s, ['bad', 'good'], { ignoreDependencyOnFailure: true }));
  await workers(s);
  assert.deepEqual(await s.result(job), { values: ['good'], ignored: ['bad is bad'] });
});

scenario('a parent forgets a failed child, if the child says so', async (s) => {
  const { job } = await s.flow('q', 'parent', {},
    kids(s, ['bad', 'good'], { removeDependencyOnFailure: true }));
  await workers(s);
  assert.deepEqual(await s.result(job), { ...NOTHING, values: ['good'] });
});

scenario('a parent runs as soon as a child failed, if the child says so', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, [
    s.node('kids', 'bad', { continueParentOnFailure: true }), s.node('never', 'waits')]);
  await workers(s);
  const result = await s.result(job).catch((error) => error.message);
  const parent = await s.queue().getJob('parent');
  assert.ok(parent.processedOn, result);
});

scenario('a child that succeeds in its second attempt gives its result', async (s) => {
  await s.work(async ({ attemptsMade }) => {
    if (attemptsMade === 0) throw new Error('once');
    return `attempt ${attemptsMade}`;
  }, { queue: 'kids' });
  await s.work(async (job) => Object.values(await job.getChildrenValues()));
  const { job } = await s.flow('q', 'parent', {},
    kids(s, ['x'], { attempts: 2, backoff: 20, failParentOnFailure: true }));
  assert.deepEqual(await s.result(job), ['attempt 1']);
});

scenario('the results of children that are not kept reach the parent', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y'], { removeOnComplete: true }));
  await workers(s);
  assert.deepEqual((await s.result(job)).values, ['x', 'y']);
  assert.equal(await s.queue('kids').getCompletedCount(), 0);
});

scenario('a failed child that is not kept lets its parent go on', async (s) => {
  const { job } = await s.flow('q', 'parent', {},
    kids(s, ['bad'], { removeOnFail: true, ignoreDependencyOnFailure: true }));
  await workers(s);
  assert.deepEqual((await s.result(job)).ignored, ['bad is bad']);
});

scenario('the last child that fails and is removed lets its parent go on', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['bad'], { removeOnFail: true }));
  await workers(s);
  assert.deepEqual((await s.result(job)).values, []);
});

scenario('a parent with a delay is delayed once its children have ended', async (s) => {
  await s.flow('q', 'parent', { delay: LONG }, kids(s, ['x']));
  await workers(s);
  await s.reaches('parent', 'delayed');
});

scenario('a parent with a short delay runs after it', async (s) => {
  const { job } = await s.flow('q', 'parent', { delay: 200 }, kids(s, ['x']));
  await workers(s);
  assert.deepEqual((await s.result(job)).values, ['x']);
});

scenario('a parent with a priority is prioritized once its children have ended', async (s) => {
  await s.flow('q', 'parent', { priority: 4 }, kids(s, ['x']));
  await s.work(async () => {}, { queue: 'kids' });
  await s.reaches('parent', 'prioritized');
});

scenario('children may be delayed', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x'], { delay: 300 }));
  assert.equal(await s.queue('kids').getJobState('x'), 'delayed');
  await workers(s);
  assert.deepEqual((await s.result(job)).values, ['x']);
});

scenario('children run by their priorities', async (s) => {
  const order = [];
  const { job } = await s.flow('q', 'parent', {}, [3, 1, 2].map((priority) => (
    s.node('kids', `p${priority}`, { priority }))));
  await s.work(async ({ name }) => { order.push(name); }, { queue: 'kids' });
  await s.work(async () => {});
  await s.result(job);
  assert.deepEqual(order, ['p1', 'p2', 'p3']);
});

scenario('a parent in a paused queue waits for the resume', async (s) => {
  await s.queue().pause();
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await workers(s);
  await s.reaches('x', 'completed', 'kids');
  await s.reaches('parent', 'waiting');
  await s.queue().resume();
  assert.deepEqual((await s.result(job)).values, ['x']);
});

scenario('a running job gets a child, and fails if it does not wait for it', async (s) => {
  await s.work(async (job) => {
    await s.queue('kids').add('late', {}, {
      jobId: 'late', parent: { id: job.id, queue: job.queueQualifiedName },
    });
    return 'too early';
  });
  const job = await s.add('a', {}, { jobId: 'parent' });
  await s.reaches(job, 'failed');
  await s.work(async () => {}, { queue: 'kids' });
  await s.reaches('late', 'completed', 'kids');
});

scenario('a child that ended before it got its parent does not hold it up', async (s) => {
  await workers(s);
  await s.result(await s.queue('kids').add('x', {}, { jobId: 'x' }), 'kids');
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  await s.result(job);
});

scenario('a job that runs becomes a child, and its end releases the parent', async (s) => {
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'mine'; }, { queue: 'kids' });
  await s.work(async (job) => Object.values(await job.getChildrenValues()));
  await s.queue('kids').add('x', {}, { jobId: 'x' });
  await s.reaches('x', 'active', 'kids');
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x']));
  gate.open();
  assert.deepEqual(await s.result(job), ['mine']);
});

scenario('a processor adds a flow', async (s) => {
  await s.work(async (job) => {
    if (job.name === 'start') await s.flow('q', 'parent', {}, kids(s, ['x', 'y']));
    return Object.values(await job.getChildrenValues()).toSorted();
  });
  await s.work(async ({ name }) => name, { queue: 'kids' });
  await s.add('start');
  await s.reaches('parent', 'completed');
  assert.deepEqual((await s.queue().getJob('parent')).returnvalue, ['x', 'y']);
});

scenario('a running job adds children and waits for them', async (s) => {
  const gate = s.gate();
  await s.work(async ({ name }) => { await gate.wait(); return name; }, { queue: 'kids' });
  await s.work(async (job, token) => {
    if (job.data.step === 2) return Object.values(await job.getChildrenValues());
    const parent = { id: job.id, queue: job.queueQualifiedName };
    await s.queue('kids').add('x', {}, { parent });
    await job.updateData({ step: 2 });
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
    return 'did not wait';
  });
  const job = await s.add('a', { step: 1 }, { jobId: 'parent' });
  await s.until(async () => await job.isWaitingChildren() || await job.isFailed(), 'the parent');
  gate.open();
  assert.deepEqual(await s.result(job), ['x']);
});

scenario('a flow takes the options of its queues', async (s) => {
  const order = [];
  const { job } = await s.flows().add(
    s.node('q', 'parent', {}, kids(s, ['x'])),
    { queuesOptions: { [s.name('kids')]: { defaultJobOptions: { attempts: 3 } } } },
  );
  await s.work(async ({ attemptsMade }) => {
    order.push(attemptsMade);
    if (attemptsMade < 2) throw new Error('again');
  }, { queue: 'kids' });
  await s.work(async () => {});
  await s.result(job);
  assert.deepEqual(order, [0, 1, 2]);
});

scenario('a flow of fifty children releases its parent once', async (s) => {
  let runs = 0;
  await s.work(async ({ name }) => name, { queue: 'kids', concurrency: 10 });
  await s.work(async ({ name }) => name, { queue: 'kids', concurrency: 10 });
  await s.work(async (job) => { runs += 1; return Object.values(await job.getChildrenValues()).length; });
  const { job } = await s.flow('q', 'parent', {}, kids(s, Array.from({ length: 50 }, (_, n) => `k${n}`)));
  assert.equal(await s.result(job), 50);
  assert.equal(runs, 1);
});

scenario('draining the queue of the last child does not lose the parent', async (s) => {
  const { job } = await s.flow('q', 'parent', {}, kids(s, ['x', 'y']));
  await s.work(async () => 'ran');
  await s.queue('kids').drain();
  assert.equal(await s.result(job), 'ran');
});
