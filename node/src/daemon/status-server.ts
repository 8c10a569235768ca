import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SkeinError } from '@skein/protocol'

/** The status port cannot be opened. */
class StatusPortError extends SkeinError<'ERR_SKEIN_STATUS_PORT'> {
  constructor(port: number, cause: unknown) {
    super('ERR_SKEIN_STATUS_PORT', `cannot serve the status on 127.0.0.1:${port}; choose another --status-port`, { cause })
  }
}

export interface StatusServer {
  readonly port: number
  close(): Promise<void>
}

/**
 * Serves, on loopback only, `GET /status` (the node's status as JSON) and `GET /healthz` (200 while it serves, else 503).
 *
 * @param port 0 for any free one
 * @throws StatusPortError
 */
export async function serveStatus(port: number, status: () => { readonly state: string }): Promise<StatusServer> {
  const server = createServer((request, response) => {
    const answer = (code: number, body: unknown): void => {
      response.writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`)
    }
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET') answer(405, { error: 'only GET is served here' })
    else if (path === '/status') answer(200, status())
    else if (path === '/healthz') answer(status().state === 'serving' ? 200 : 503, { status: status().state })
    else answer(404, { error: 'there are /status and /healthz' })
  })
  server.maxConnections = 32
  server.requestTimeout = 5_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new StatusPortError(port, error)))
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
