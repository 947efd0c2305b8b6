/** Options of a connection to the benchmark's own Redis server. */
export function connectTo(port) {
  return { host: '127.0.0.1', port, maxRetriesPerRequest: null };
}
