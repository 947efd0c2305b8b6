import { parseArgs } from 'node:util';

const NAMES = ['port', 'queue', 'count', 'concurrency', 'chunk', 'samples'];

/** The numbers and the queue's name given on the command line. */
export function readArguments() {
  const options = Object.fromEntries(NAMES.map((name) => [name, { type: 'string' }]));
  const { queue = 'benchmark', ...numbers } = parseArgs({ options }).values;
  const entries = Object.entries(numbers).map(([name, text]) => [name, wholeNumber(name, text)]);
  return { queue, ...Object.fromEntries(entries) };
}

function wholeNumber(name, text) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) {
    throw new Error(`--${name} must be a whole number above 0, not ${text}`);
  }
  return number;
}
