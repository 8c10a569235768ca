import type { PeerId, Random } from '@skein/protocol'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { VirtualInternet } from '../net/virtual-network.ts'
import type { FaultTarget, ScenarioFault } from '../scenario/scenario.ts'
import type { SimClient } from '../world/sim-client.ts'
import type { SimNode } from '../world/sim-node.ts'
import { type Occurrence, occurrencesOf } from './occurrences.ts'
import { clientsHit, clientsStruck, nodesHit } from './targets.ts'

export interface FaultDriverComponents {
  readonly clock: VirtualClock
  readonly random: Random
  readonly internet: VirtualInternet
  readonly nodes: readonly SimNode[]
  readonly clients: readonly SimClient[]
  /** @param excuses - whether an answer may fail for it, though nodes of every block serve */
  readonly happened: (kind: 'fault' | 'heal', text: string, excuses: boolean, node?: number) => void
}

/** What is done to a process, a node's or a client's. */
type ProcessFault = Extract<ScenarioFault, { kind: 'crash' | 'freeze' }>
/** What is done to a node's machine. */
type MachineFault = Extract<ScenarioFault, { kind: 'slow' | 'lie' | 'clock-jump' | 'full-disk' }>
/** The others are done to what passes between peers. */
type PeerFault = ProcessFault | MachineFault

/** Who is in force of what, and since which of his lives. */
type Struck = SimNode | SimClient

/**
 * What may cost an answer even where other nodes hold the blocks. That nodes die, come back or stand still may cost a pause; a wall
 * clock that jumps and a disk that is full cost nothing.
 */
const excusing: ReadonlySet<ScenarioFault['kind']> = new Set(['slow', 'lie', 'partition', 'corrupt'])

interface Peer {
  readonly peer: PeerId
  /** For the log. */
  readonly name: string
  /** Undefined for a client. */
  readonly node: SimNode | undefined
}

/** Makes the faults of a scenario happen at their times, and ends them. */
export class FaultDriver {
  readonly #components: FaultDriverComponents
  /** With what they heal. */
  readonly #heals = new Map<() => void, ScenarioFault['kind']>()
  readonly #planned = new Set<() => void>()
  /** What is in force at each node and client, and in which of its lives it began. */
  readonly #imposed = new Map<Struck, Set<{ readonly fault: PeerFault; readonly life: number }>>()

  constructor(components: FaultDriverComponents) {
    this.#components = components
  }

  /** Faults that are in force now. */
  get active(): number {
    return this.#heals.size
  }

  /** Of these, those for which an answer may fail. */
  get excusing(): number {
    return [...this.#heals.values()].filter((kind) => excusing.has(kind)).length
  }

  /** @param durationMs until when faults come that have no end of their own */
  plan(faults: readonly ScenarioFault[], durationMs: number): void {
    for (const [index, fault] of faults.entries()) {
      this.#planNext(fault, occurrencesOf(fault, durationMs, this.#components.random.fork(`fault ${index}`)))
    }
  }

  #planNext(fault: ScenarioFault, occurrences: Iterator<Occurrence, void>): void {
    const next = occurrences.next().value
    if (next === undefined) return
    this.#planAt(next.atMs, () => {
      this.inject(fault, next.random)
      this.#planNext(fault, occurrences)
    })
  }

  #planAt(atMs: number, happen: () => void): void {
    const { clock } = this.#components
    const cancel = clock.setTimer(Math.max(0, atMs - clock.monotonicMs()), () => {
      this.#planned.delete(cancel)
      happen()
    })
    this.#planned.add(cancel)
  }

  /** Ends every fault, and plans no more. */
  healAll(): void {
    for (const cancel of this.#planned) cancel()
    this.#planned.clear()
    for (const heal of [...this.#heals.keys()]) heal()
  }

  /** Makes a fault happen now, whatever its `atMs` says. */
  inject(fault: ScenarioFault, random: Random): void {
    if (fault.kind === 'partition') this.#partition(fault, random)
    else if (fault.kind === 'corrupt') for (const peer of this.#peers(fault.target, random)) this.#corrupt(fault, peer)
    else if (fault.kind === 'crash' || fault.kind === 'freeze') {
      for (const node of this.#nodes(fault.target, random)) this.#strike(fault, node, `node ${node.number}`, node)
      for (const client of clientsStruck(fault.target, this.#components.clients)) this.#strike(fault, client, `client ${client.number}`)
    } else for (const node of this.#nodes(fault.target, random)) this.#hit(fault, node)
  }

  /** @param node - of a node: who is named in the log */
  #strike(fault: ProcessFault, struck: Struck, name: string, node?: SimNode): void {
    if (fault.kind === 'crash') {
      this.#happened('fault', fault.kind, fault.how === 'host' ? `${name} loses its power` : `${name} is killed`, node)
      struck.crash(fault.how)
      this.#impose(fault, struck, fault.restartAfterMs, (inForce) => {
        if (inForce.length > 0) return undefined
        struck.start()
        // A node says so itself.
        return node === undefined ? `${name} starts again` : undefined
      })
      return
    }
    this.#happened('fault', fault.kind, `${name} freezes`, node)
    this.#impose(fault, struck, fault.forMs, (inForce) => {
      if (inForce.length > 0) {
        if (!struck.isFrozen) struck.freeze()
        return undefined
      }
      struck.thaw()
      return `${name} thaws`
    })
  }

  #hit(fault: MachineFault, node: SimNode): void {
    const name = `node ${node.number}`
    switch (fault.kind) {
      case 'slow':
        this.#happened('fault', fault.kind, `${name} computes ${fault.factor} times slower`, node)
        this.#impose(fault, node, fault.forMs, (inForce) => {
          const factor = inForce.reduce((product, each) => product * each.factor, 1)
          node.condition.slowFactor = factor
          return `${name} computes ${inForce.length === 0 ? 'as before' : `${factor} times slower`}`
        })
        break
      case 'lie':
        this.#happened('fault', fault.kind, `${name} begins to lie`, node)
        this.#impose(fault, node, Infinity, (inForce) => {
          node.condition.lieShare = Math.max(0, ...inForce.map(({ share }) => share))
          return inForce.length === 0 ? `${name} lies no more` : undefined
        })
        break
      case 'clock-jump':
        this.#happened('fault', fault.kind, `the wall clock of ${name} jumps by ${fault.byMs} ms`, node)
        this.#components.clock.note(fault.byMs >>> 0)
        node.jumpClock(fault.byMs)
        break
      case 'full-disk':
        this.#happened('fault', fault.kind, `the disk of ${name} is full`, node)
        this.#impose(fault, node, fault.forMs, (inForce) => {
          node.disk.full = inForce.length > 0
          return node.disk.full ? undefined : `the disk of ${name} has room again`
        })
        break
    }
  }

  /**
   * Puts a fault in force at a node or a client. Those of one kind that overlap there are in force together: the end of one heals no other.
   *
   * @param forMs how long; undefined: it stays, and nothing of it heals
   * @param change told of all that are in force when this one begins and when it ends; gives what the log says of its end
   */
  #impose<Fault extends PeerFault>(
    fault: Fault,
    struck: Struck,
    forMs: number | undefined,
    change: (inForce: readonly Fault[]) => string | undefined
  ): void {
    const { kind } = fault
    const imposed = { fault, life: struck.life }
    const all = this.#imposed.get(struck) ?? new Set()
    this.#imposed.set(struck, all.add(imposed))
    // What a process suffers ends with it; what a machine does, goes on in the next one.
    const isGone = ({ life }: { readonly life: number }): boolean => (kind === 'crash' || kind === 'freeze') && life !== struck.life
    const inForce = (): Fault[] => [...all].filter((one) => one.fault.kind === kind && !isGone(one)).map((one) => one.fault as Fault)
    change(inForce())
    if (forMs === undefined) return
    this.#healAfter(kind, forMs, () => {
      all.delete(imposed)
      const text = isGone(imposed) ? undefined : change(inForce())
      if (text !== undefined) this.#happened('heal', kind, text, 'condition' in struck ? struck : undefined)
    })
  }

  #corrupt({ kind, forMs, share }: Extract<ScenarioFault, { kind: 'corrupt' }>, { peer, name, node }: Peer): void {
    this.#happened('fault', kind, `bytes of ${name} are flipped on their way`, node)
    const end = this.#components.internet.corrupt({ peers: (each) => each === peer, share })
    this.#healAfter(kind, forMs, () => {
      end()
      this.#happened('heal', kind, `bytes of ${name} arrive as they were sent`, node)
    })
  }

  #partition(fault: Extract<ScenarioFault, { kind: 'partition' }>, random: Random): void {
    const [first, second] = fault.between
    const from = new Set(this.#peers(first, random.fork('from')).map(({ peer }) => peer))
    const to = new Set(this.#peers(second, random.fork('to')).map(({ peer }) => peer))
    // A peer is not cut off from its own side.
    for (const peer of from) to.delete(peer)
    const { kind } = fault
    this.#happened('fault', kind, `${from.size} peers are cut off from ${to.size} others${fault.oneWay ? ' one way' : ''}`)
    const heal = this.#components.internet.cut({ from: (peer) => from.has(peer), to: (peer) => to.has(peer), oneWay: fault.oneWay })
    this.#healAfter(kind, fault.forMs, () => {
      heal()
      this.#happened('heal', kind, `${from.size} peers are connected again with ${to.size} others`)
    })
  }

  #healAfter(kind: ScenarioFault['kind'], ms: number, heal: () => void): void {
    let cancel = (): void => {}
    const once = (): void => {
      if (!this.#heals.delete(once)) return
      cancel()
      heal()
    }
    this.#heals.set(once, kind)
    cancel = this.#components.clock.setTimer(ms, once)
  }

  #nodes(target: FaultTarget, random: Random): SimNode[] {
    return nodesHit(target, this.#components.nodes, random)
  }

  /** Whom it hits of all peers: of a region or a group clients as well. */
  #peers(target: FaultTarget, random: Random): Peer[] {
    const nodes = this.#nodes(target, random).map((node) => ({ peer: node.peer, name: `node ${node.number}`, node }))
    const clients = clientsHit(target, this.#components.clients)
    return [...nodes, ...clients.map(({ peer, number }) => ({ peer, name: `client ${number}`, node: undefined }))]
  }

  #happened(what: 'fault' | 'heal', kind: ScenarioFault['kind'], text: string, node?: SimNode): void {
    this.#components.happened(what, text, excusing.has(kind), node?.number)
  }
}
