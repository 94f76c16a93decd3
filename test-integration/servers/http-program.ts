/**
 * The program of {@link HttpServerProcess}, run by Node: a service whose writes leave traces in a file.
 * GET /read, POST /write (body: an id), POST /refused (409).
 */
export const HTTP_PROGRAM = `
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
const [port, traces] = process.argv.slice(1);
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    if (request.url === '/write') appendFileSync(traces, body + '\\n');
    response.statusCode = request.url === '/refused' ? 409 : 200;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ url: request.url, body }));
  });
});
let open = 0;
server.on('connection', (socket) => {
  open += 1;
  socket.on('close', () => { open -= 1; });
});
server.on('request', (request, response) => {
  if (request.url === '/connections') response.setHeader('x-open', String(open - 1));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
`;
