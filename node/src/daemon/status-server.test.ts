import assert from 'node:assert/strict'
import { serveStatus } from './status-server.ts'

describe('status server', () => {
  it('serves the status and the health on loopback', async () => {
    let state = 'joining'
    const server = await serveStatus(0, () => ({ state, sessions: 2 }))
    try {
      const get = (path: string, method = 'GET'): Promise<Response> => fetch(`http://127.0.0.1:${server.port}${path}`, { method })
      assert.deepEqual(await (await get('/status')).json(), { state: 'joining', sessions: 2 })
      assert.equal((await get('/healthz')).status, 503)
      state = 'serving'
      assert.equal((await get('/healthz')).status, 200)
      assert.equal((await get('/nothing')).status, 404)
      assert.equal((await get('/status', 'POST')).status, 405)
    } finally {
      await server.close()
    }
  })

  it('says which port is taken', async () => {
    const server = await serveStatus(0, () => ({ state: 'serving' }))
    try {
      await assert.rejects(
        serveStatus(server.port, () => ({ state: 'serving' })),
        new RegExp(`127.0.0.1:${server.port}`)
      )
    } finally {
      await server.close()
    }
  })
})
