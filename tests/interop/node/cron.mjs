/**
 * When BullMQ's reader of cron patterns says that they are due. It reads a JSON array of
 * [pattern, time zone, start (ms), how many], and answers with the times of each, or the error.
 */
import { readFileSync } from 'node:fs';

import cronParser from 'cron-parser';

function times([pattern, tz, start, count]) {
  const found = [];
  try {
    for (let at = start; found.length < count; found.push(at)) {
      // Anew each time, as BullMQ does.
      const read = cronParser.CronExpressionParser.parse(pattern, { tz, currentDate: new Date(at) });
      at = read.next().getTime();
    }
  } catch (error) {
    return error.message;
  }
  return found;
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(times)));
