import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { encodeControl, encodeLink, type OpenRequest, protocols } from '@skein/protocol'
import type { SwarmClient } from '@skein/coordinator'
import { HostilePeer, message, request, rowsOf, step, verdict } from '../harness/hostile-peer.ts'
import { LocalSwarm } from '../harness/local-swarm.ts'
import type { NodeProcess } from '../harness/node-process.ts'

const maxGrowthMiB = 300

/** Resident memory in MiB, where the system tells it. */
function residentMiB(node: NodeProcess): number | undefined {
  const path = `/proc/${node.program.pid}/status`
  if (!existsSync(path)) return undefined
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(path, 'utf8'))?.[1]
  return kib === undefined ? undefined : Number(kib) / 1024
}

describe('a node among hostile peers', function () {
  this.timeout(120_000)
  const swarm = new LocalSwarm()
  let node: NodeProcess
  let client: SwarmClient
  let peer: HostilePeer
  let answer: string
  let memoryBefore: number | undefined

  const honest = async (): Promise<string> => (await client.generate('What is your name?', { temperature: 0, maxTokens: 6 }).result).text

  before(async () => {
    node = await swarm.node()
    client = await swarm.client()
    answer = await honest()
    memoryBefore = residentMiB(node)
  })

  beforeEach(async () => {
    peer = await HostilePeer.join(node)
  })

  // After each attack: honest peers are served as before, and nothing of the attack is left.
  afterEach(async () => {
    assert.equal(await honest(), answer)
    await peer.stop()
    await swarm.idle()
  })

  after(async () => {
    const memory = residentMiB(node)
    await swarm.close()
    if (memory !== undefined && memoryBefore !== undefined)
      assert.ok(memory < memoryBefore + maxGrowthMiB, `${memoryBefore} MiB before, ${memory} MiB after`)
  })

  it('refuses sessions that it cannot serve, each with its reason', async () => {
    const { span, numerics, model } = peer.openRequest()
    const wrongModel = `${model.slice(0, -4)}${model.endsWith('0000') ? '1111' : '0000'}` as OpenRequest['model']
    const cases: readonly [Partial<OpenRequest>, string, RegExp][] = [
      [{ model: wrongModel }, 'ERR_SKEIN_WRONG_MODEL', /this node serves/],
      [{ span: { start: 0, end: span.end + 1 } }, 'ERR_SKEIN_WRONG_SPAN', /hosts blocks 0:8/],
      [{ numerics: { ...numerics, kernels: 'abacus' } }, 'ERR_SKEIN_WRONG_NUMERICS', /abacus/],
      [{ kvTokens: 1025 }, 'ERR_SKEIN_TOO_LONG', /1025 tokens.*1024/],
      [{ historyBytes: 2 ** 40 }, 'ERR_SKEIN_HISTORY_FULL', /\d/],
      [{ encoding: 'raw' }, 'ERR_SKEIN_UNSUPPORTED', /raw/]
    ]
    for (const [changes, code, text] of cases) {
      const control = await peer.open(protocols.control)
      control.send(request(peer.openRequest(changes)))
      const said = await verdict(control)
      assert.equal(said.code, code, said.message)
      assert.match(said.message, text)
    }
  })

  it('gives one peer only its share of sessions, and frees them when its connection breaks', async () => {
    let code = ''
    let opened = 0
    for (; opened < 100 && code === ''; opened++) {
      const control = await peer.open(protocols.control)
      control.send(request(peer.openRequest({ kvTokens: 16 })))
      const head = (await control.receive())!.head
      code = /ERR_SKEIN_\w+/.exec(Buffer.from(head).toString('latin1'))?.[0] ?? ''
    }
    assert.equal(code, 'ERR_SKEIN_BUSY')
    const { load } = await node.status()
    assert.ok(load.sessions > 1 && load.sessions < 64, `${load.sessions} sessions`)
    // That others are served in spite of them, and that they are gone afterwards, is checked after each test.
    assert.equal(await honest(), answer)
  })

  it('refuses first frames that are no beginning', async () => {
    const garbage = Uint8Array.from({ length: 64 }, (_, index) => (index * 151) % 256)
    for (const protocol of [protocols.control, protocols.link, protocols.results, protocols.directory]) {
      const channel = await peer.open(protocol)
      channel.send({ head: garbage })
      const said = await verdict(channel)
      assert.ok(['ERR_SKEIN_MALFORMED', 'reset'].includes(said.code), `${protocol}: ${said.code}`)
    }
    const early = await peer.open(protocols.control)
    early.send(request({ type: 'probe', id: 7 }))
    assert.equal((await verdict(early)).code, 'ERR_SKEIN_UNKNOWN_SESSION')
    const stepFirst = await peer.open(protocols.link)
    stepFirst.send(message(step(1), rowsOf(1)))
    assert.equal((await verdict(stepFirst)).code, 'ERR_SKEIN_MALFORMED')
  })

  it('takes no frame beyond its limits, however much of it arrives', async () => {
    for (const protocol of [protocols.control, protocols.link, protocols.directory]) {
      const channel = await peer.open(protocol)
      try {
        channel.send({ head: new Uint8Array(48 * 2 ** 20) })
        await verdict(channel)
      } catch {
        // The node has closed the channel before all of it was out.
      }
      assert.notEqual((await channel.closed).kind, 'ended', protocol)
    }
  })

  it('refuses links of sessions that are not open, of others, and of another side', async () => {
    const { control, id } = await peer.session()
    const thief = await HostilePeer.join(node)
    const hello = { type: 'hello', session: id, term: 1 } as const
    const attempts = [
      [
        peer,
        protocols.link,
        { ...hello, coordinator: peer.network.self, session: peer.openRequest().session },
        'ERR_SKEIN_UNKNOWN_SESSION'
      ],
      [thief, protocols.results, { ...hello, coordinator: peer.network.self }, 'ERR_SKEIN_UNKNOWN_SESSION'],
      [thief, protocols.link, { ...hello, coordinator: thief.network.self }, 'ERR_SKEIN_UNKNOWN_SESSION'],
      // It knows the session's name, and is not the predecessor that the coordinator named.
      [thief, protocols.link, { ...hello, coordinator: peer.network.self }, 'ERR_SKEIN_STALE_TERM']
    ] as const
    for (const [who, protocol, first, code] of attempts) {
      const channel = await who.open(protocol)
      channel.send(message(first))
      assert.equal((await verdict(channel)).code, code)
    }
    await thief.stop()
    // The session itself has taken no harm.
    const { channel, held } = await peer.link(id)
    assert.equal(held.held.rows, 0)
    channel.reset()
    control.reset()
  })

  for (const [what, frame, code] of [
    ['out of order', message(step(1, { from: 5, to: 5, runs: [{ seq: 5, rows: 1, want: 'none' }] }), rowsOf(1)), 'ERR_SKEIN_OUT_OF_ORDER'],
    ['behind a gap of rows', message(step(1, { position: 9, after: 1 }), rowsOf(1)), 'ERR_SKEIN_OUT_OF_ORDER'],
    ['of the wrong shape', message(step(3), rowsOf(2)), 'ERR_SKEIN_MALFORMED'],
    ['without its rows', message(step(3)), 'ERR_SKEIN_MALFORMED'],
    ['with NaNs', message(step(2), rowsOf(2, Number.NaN)), 'ERR_SKEIN_NOT_FINITE'],
    ['with infinite values', message(step(2), rowsOf(2, Number.POSITIVE_INFINITY)), 'ERR_SKEIN_NOT_FINITE'],
    ['beyond its reservation', message(step(300), rowsOf(300)), 'ERR_SKEIN_TOO_LONG'],
    ['that is garbage', { head: Uint8Array.of(0xc1, 1, 2, 3) }, 'ERR_SKEIN_MALFORMED'],
    ['that is a second hello', { head: new Uint8Array(0) }, 'ERR_SKEIN_MALFORMED']
  ] as const) {
    it(`refuses a step ${what}`, async () => {
      const { control, id } = await peer.session()
      const { channel } = await peer.link(id)
      channel.send(what.endsWith('hello') ? message({ type: 'hello', coordinator: peer.network.self, session: id, term: 1 }) : frame)
      const said = await verdict(channel)
      assert.equal(said.code, code, said.message)
      assert.notEqual(said.message, '')
      control.reset()
    })
  }

  it('takes no more than it gave credit for', async () => {
    const { control, id } = await peer.session({ kvTokens: 1024 })
    const { channel, held } = await peer.link(id)
    // Nobody takes the results, so nothing is computed and no new credit comes.
    const flood = async (): Promise<void> => {
      for (let seq = 1; seq <= held.steps + 64; seq++) {
        const runs = [{ seq, rows: 1, want: 'all' }] as const
        if (!channel.send(message(step(1, { from: seq, to: seq, position: seq - 1, after: seq - 1, runs }), rowsOf(1))))
          await channel.writable()
      }
    }
    const flooding = flood().catch(() => {})
    assert.equal((await verdict(channel)).code, 'ERR_SKEIN_CREDIT_EXCEEDED')
    await flooding
    control.reset()
  })

  it('survives endless requests whose answers nobody reads, and thousands of silent channels', async () => {
    const { control } = await peer.session()
    const probe = encodeControl({ type: 'probe', id: 2 })
    const endless = async (): Promise<void> => {
      for (let sent = 0; sent < 200_000; sent++) if (!control.send({ head: probe.slice() })) await control.writable()
    }
    const hello = encodeLink({ type: 'hello', coordinator: peer.network.self, session: peer.openRequest().session, term: 1 })
    const silent = async (): Promise<void> => {
      for (let opened = 0; opened < 1_500; opened++) {
        const channel = await peer.open(opened % 2 === 0 ? protocols.link : protocols.control)
        // Some end before their first frame, some begin one and never finish it.
        if (opened % 3 === 0) channel.reset()
        else if (opened % 3 === 1) channel.send({ head: hello.slice(0, 5) })
      }
    }
    await Promise.race([
      Promise.allSettled([endless(), silent()]),
      // In the middle of it others are served: the flood need not come to its end.
      Promise.all([honest(), honest()]).then((texts) => assert.deepEqual(texts, [answer, answer]))
    ])
    control.reset()
  })
})
