/** bull-board, as services put it into their own server. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import express from 'express';

/** Serve a board on a free port of the loopback; returns the server once it listens. */
export function serveBoard(queues) {
  const adapter = new ExpressAdapter();
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: adapter,
  });
  const application = express();
  application.use(adapter.getRouter());
  return new Promise((resolve, reject) => {
    const server = application.listen(0, '127.0.0.1', (error) => {
      if (error) reject(error);
      else resolve(server);
    });
  });
}
