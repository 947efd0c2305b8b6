import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('running');

scenario('a job that waited before the worker started runs', async (s) => {
  const job = await s.add('echo', { n: 1 });
  await s.work(async ({ data }) => data);
  assert.deepEqual(await s.result(job), { n: 1 });
});

scenario('a job that is added to an idle worker runs', async (s) => {
  await s.work(async ({ data }) => data.n);
  assert.equal(await s.result(await s.add('echo', { n: 1 })), 1);
  assert.equal(await s.result(await s.add('echo', { n: 2 })), 2);
});

scenario('the processor sees the name, the data and the id', async (s) => {
  await s.work(async ({ name, data, id }) => [name, data, id]);
  const job = await s.add('to send', { to: 'ada' }, { jobId: 'mail-7' });
  assert.deepEqual(await s.result(job), ['to send', { to: 'ada' }, 'mail-7']);
});

scenario('the processor sees the options', async (s) => {
  await s.work(async ({ opts }) => [opts.attempts, opts.backoff, opts.removeOnFail]);
  const job = await s.add('a', {}, { attempts: 4, backoff: 1500, removeOnFail: 5 });
  assert.deepEqual(await s.result(job), [4, { type: 'fixed', delay: 1500 }, 5]);
});

scenario('jobs run in the order in which they were added', async (s) => {
  const order = [];
  const jobs = [];
  for (let n = 0; n < 20; n += 1) jobs.push(await s.add('a', { n }));
  await s.work(async ({ data }) => { order.push(data.n); });
  await s.results(jobs);
  assert.deepEqual(order, [...Array(20).keys()]);
});

scenario('the job that was added last with lifo runs first', async (s) => {
  const order = [];
  const jobs = [await s.add('fifo')];
  for (const name of ['first', 'second', 'third']) jobs.push(await s.add(name, {}, { lifo: true }));
  await s.work(async ({ name }) => { order.push(name); });
  await s.results(jobs);
  assert.deepEqual(order, ['third', 'second', 'first', 'fifo']);
});

const RESULTS = {
  text: 'done', number: 37.5, 'a boolean': false, null: null, 'an array': [1, 'two', [3]],
  'an object': { a: { b: [1] } }, 'an empty text': '', zero: 0, unicode: 'žluťoučký 🐴',
};
for (const [kind, value] of Object.entries(RESULTS)) {
  scenario(`a result that is ${kind} is stored as it is`, async (s) => {
    await s.work(async () => value);
    const job = await s.add('a');
    assert.deepEqual(await s.result(job), value);
    assert.deepEqual((await s.queue().getJob(job.id)).returnvalue, value);
  });
}

scenario('a processor that returns nothing completes its job with null', async (s) => {
  await s.work(async () => {});
  const job = await s.add('a');
  await s.result(job);
  assert.equal((await s.queue().getJob(job.id)).returnvalue, null);
});

scenario('a processor need not be asynchronous', async (s) => {
  await s.work(({ data }) => data.n + 1);
  assert.equal(await s.result(await s.add('a', { n: 1 })), 2);
});

scenario('a job fails if its processor throws', async (s) => {
  await s.work(async () => { throw new TypeError('no such mailbox'); });
  const job = await s.add('a');
  await assert.rejects(s.result(job), /no such mailbox/);
  const failed = await s.queue().getJob(job.id);
  assert.equal(failed.failedReason, 'no such mailbox');
  assert.equal(failed.stacktrace.length, 1);
  assert.match(failed.stacktrace[0], /no such mailbox/);
  assert.equal(failed.returnvalue, null);
});

scenario('a job fails if its processor throws at once', async (s) => {
  await s.work(() => { throw new Error('not even a promise'); });
  await assert.rejects(s.result(await s.add('a')), /not even a promise/);
});

scenario('a job fails with an error without a message', async (s) => {
  await s.work(async () => { throw new Error(); });
  const job = await s.add('a');
  await s.reaches(job, 'failed');
});

scenario('a worker goes on after a job that failed', async (s) => {
  await s.work(async ({ name }) => { if (name === 'bad') throw new Error('bad'); return name; });
  const bad = await s.add('bad');
  const good = await s.add('good');
  assert.equal(await s.result(good), 'good');
  await s.reaches(bad, 'failed');
});

const PROGRESS = { number: 42, text: 'half', boolean: true, object: { done: 3, of: 7 }, array: [1] };
for (const [kind, value] of Object.entries(PROGRESS)) {
  scenario(`progress can be of type ${kind}`, async (s) => {
    const gate = s.gate();
    await s.work(async (job) => { await job.updateProgress(value); await gate.wait(); });
    const job = await s.add('a');
    const { data } = await s.heard('progress', job.id);
    assert.deepEqual(data, value);
    await s.until(async () => (await s.queue().getJob(job.id)).progress !== 0, 'progress');
    assert.deepEqual((await s.queue().getJob(job.id)).progress, value);
    gate.open();
    await s.result(job);
    assert.deepEqual((await s.queue().getJob(job.id)).progress, value);
  });
}

scenario('log lines are kept in their order', async (s) => {
  await s.work(async (job) => { for (const n of [1, 2, 3, 4]) await job.log(`line ${n}`); });
  const job = await s.add('a');
  await s.result(job);
  const { logs, count } = await s.queue().getJobLogs(job.id);
  assert.deepEqual(logs, ['line 1', 'line 2', 'line 3', 'line 4']);
  assert.equal(count, 4);
});

scenario('the newest log lines are kept if the job says how many', async (s) => {
  await s.work(async (job) => { for (const n of [1, 2, 3, 4]) await job.log(`line ${n}`); });
  const job = await s.add('a', {}, { keepLogs: 2 });
  await s.result(job);
  assert.deepEqual((await s.queue().getJobLogs(job.id)).logs, ['line 3', 'line 4']);
});

scenario('the log of earlier attempts is kept', async (s) => {
  await s.work(async (job) => {
    await job.log(`attempt ${job.attemptsMade}`);
    if (job.attemptsMade < 2) throw new Error('again');
  });
  const job = await s.add('a', {}, { attempts: 3 });
  await s.result(job);
  const { logs } = await s.queue().getJobLogs(job.id);
  assert.deepEqual(logs, ['attempt 0', 'attempt 1', 'attempt 2']);
});

scenario('data that a processor changes is there in the next attempt', async (s) => {
  await s.work(async (job) => {
    if (job.data.step === 1) {
      await job.updateData({ step: 2 });
      throw new Error('go on with step 2');
    }
    return job.data;
  });
  assert.deepEqual(await s.result(await s.add('a', { step: 1 }, { attempts: 2 })), { step: 2 });
});

scenario('a job knows its attempts and when it ran', async (s) => {
  await s.work(async ({ attemptsMade, attemptsStarted }) => [attemptsMade, attemptsStarted]);
  const job = await s.add('a');
  assert.deepEqual(await s.result(job), [0, 1]);
  const ended = await s.queue().getJob(job.id);
  assert.equal(ended.attemptsMade, 1);
  assert.equal(ended.attemptsStarted, 1);
  assert.ok(ended.timestamp <= ended.processedOn);
  assert.ok(ended.processedOn <= ended.finishedOn);
});

scenario('a job knows which worker ran it', async (s) => {
  await s.work(async () => {}, { name: 'the one' });
  const job = await s.add('a');
  await s.result(job);
  assert.ok((await s.queue().getJob(job.id)).processedBy);
});

scenario('a large payload and a large result arrive whole', async (s) => {
  const text = 'ÿ'.repeat(300_000);
  await s.work(async ({ data }) => ({ back: data.text }));
  assert.equal((await s.result(await s.add('a', { text }))).back, text);
});

scenario('names and data of any letters arrive as they are', async (s) => {
  const data = { 'ключ "1"': 'a\n\t\\ \u0000 \u2028 🐴' };
  await s.work(async (job) => [job.name, job.data]);
  assert.deepEqual(await s.result(await s.add('ñ: «ω» 🐴', data)), ['ñ: «ω» 🐴', data]);
});

for (const data of ['text', 7, null, [1, 2], 0, '']) {
  scenario(`data need not be an object: ${JSON.stringify(data)}`, async (s) => {
    await s.work(async (job) => ({ got: job.data }));
    assert.deepEqual(await s.result(await s.add('a', data)), { got: data });
  });
}

scenario('two workers share the jobs, and each job runs once', async (s) => {
  const runs = [];
  const processor = async ({ id }) => { runs.push(id); };
  await s.work(processor, { concurrency: 3 });
  await s.work(processor, { concurrency: 3 });
  const jobs = await s.queue().addBulk(
    Array.from({ length: 100 }, (_, n) => ({ name: 'a', data: { n } })),
  );
  await s.results(jobs);
  assert.deepEqual(runs.toSorted(), jobs.map((job) => job.id).toSorted());
});

scenario('closing a worker waits for the job that runs', async (s) => {
  const gate = s.gate();
  const worker = await s.work(async () => { await gate.wait(); return 'whole'; });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  const closed = worker.close();
  gate.open();
  await closed;
  assert.equal(await s.queue().getJobState(job.id), 'completed');
});

scenario('a job that fails while its worker closes is failed', async (s) => {
  const gate = s.gate();
  const worker = await s.work(async () => { await gate.wait(); throw new Error('late'); });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  const closed = worker.close();
  gate.open();
  await closed;
  assert.equal(await s.queue().getJobState(job.id), 'failed');
});

scenario('a closed worker takes no more jobs, and the next one does', async (s) => {
  const worker = await s.work(async () => 'first');
  assert.equal(await s.result(await s.add('a')), 'first');
  await worker.close();
  const job = await s.add('b');
  assert.equal(await s.queue().getJobState(job.id), 'waiting');
  await s.work(async () => 'second');
  assert.equal(await s.result(job), 'second');
});

scenario('a processor can add jobs to its own queue', async (s) => {
  await s.work(async ({ data }) => {
    if (data.left > 0) await s.add('a', { left: data.left - 1 }, { jobId: `left-${data.left - 1}` });
  });
  await s.add('a', { left: 5 });
  await s.reaches('left-0', 'completed');
  assert.equal(await s.queue().getCompletedCount(), 6);
});

scenario('nothing is active and nothing is locked once all jobs have ended', async (s) => {
  const worker = await s.work(async ({ data }) => { if (data.n % 3 === 0) throw new Error('3'); }, {
    concurrency: 5,
  });
  await s.queue().addBulk(Array.from({ length: 30 }, (_, n) => ({ name: 'a', data: { n } })));
  await s.until(async () => {
    const { completed, failed } = await s.queue().getJobCounts();
    return completed === 20 && failed === 10;
  }, 'all to end');
  await worker.close();
  assert.equal(await s.queue().getActiveCount(), 0);
  assert.deepEqual(await s.connection.keys(s.key('*:lock')), []);
  assert.equal(await s.connection.exists(s.key('stalled')), 0);
});

scenario('a lock can be extended with the token of the job', async (s) => {
  await s.work(async (job) => job.extendLock(job.token, 60_000));
  assert.equal(await s.result(await s.add('a')), 1);
});

scenario('a worker emits active, completed and failed with the job', async (s) => {
  const heard = [];
  const worker = await s.work(async ({ name }) => {
    if (name === 'bad') throw new Error('bad luck');
    return 'fine';
  });
  worker.on('active', ({ id }) => heard.push(['active', id]));
  worker.on('completed', ({ id }, result) => heard.push(['completed', id, result]));
  worker.on('failed', ({ id }, error) => heard.push(['failed', id, error.message]));
  await s.add('good', {}, { jobId: 'good' });
  await s.add('bad', {}, { jobId: 'bad' });
  await s.until(() => heard.length === 4, 'four events');
  assert.deepEqual(heard, [
    ['active', 'good'], ['completed', 'good', 'fine'], ['active', 'bad'],
    ['failed', 'bad', 'bad luck'],
  ]);
});

scenario('a job that is removed while it runs leaves nothing behind', async (s) => {
  const gate = s.gate();
  await s.work(async () => gate.wait());
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await s.connection.del(s.key(job.id));
  await s.connection.lrem(s.key('active'), 0, job.id);
  gate.open();
  const next = await s.add('b');
  await s.result(next);
  assert.equal(await s.queue().getJob(job.id), undefined);
  assert.equal(await s.queue().getCompletedCount(), 1);
});

scenario('queues of one prefix do not see the jobs of each other', async (s) => {
  await s.work(async () => 'from q');
  await s.work(async () => 'from other', { queue: 'other' });
  const one = await s.queue().add('a', {}, { jobId: 'same' });
  const other = await s.queue('other').add('a', {}, { jobId: 'same' });
  assert.equal(await s.result(one), 'from q');
  assert.equal(await s.result(other, 'other'), 'from other');
});

for (const which of ['with space', 'dots.and-dashes_', 'ünïcode 🐴', 'a/b?c=d&e#f', '%41', '{tag}']) {
  scenario(`a queue can be called ${which}`, async (s) => {
    await s.work(async () => 'ran', { queue: which });
    assert.equal(await s.result(await s.queue(which).add('a'), which), 'ran');
  });
}

for (const prefix of ['{bull}', 'my app', 'app:jobs', '{bull}:custom']) {
  scenario(`a prefix can be ${prefix}`, async (s) => {
    Object.assign(s.store, { prefix });
    Object.assign(s, { prefix });
    await s.work(async () => 'ran');
    for (const name of ['a', 'b']) await s.reaches(await s.add(name), 'completed');
  });
}
