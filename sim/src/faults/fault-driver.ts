import type { PeerId, Random } from '@skein/protocol'
import type { VirtualClock } from '../kernel/virtual-clock.ts'
import type { VirtualInternet } from '../net/virtual-network.ts'
import type { FaultTarget, ScenarioFault } from '../scenario/scenario.ts'
import type { SimNode } from '../world/sim-node.ts'

export interface FaultDriverComponents {
  readonly clock: VirtualClock
  readonly random: Random
  readonly internet: VirtualInternet
  readonly nodes: readonly SimNode[]
  /** Where every peer is, clients included: a region that is cut off takes them with it. */
  readonly regionOf: ReadonlyMap<PeerId, string>
  readonly happened: (kind: 'fault' | 'heal', text: string, node?: number) => void
}

/** Makes the faults of a scenario happen at their times, and ends them. */
export class FaultDriver {
  readonly #components: FaultDriverComponents
  readonly #heals = new Set<() => void>()
  readonly #planned = new Set<() => void>()

  constructor(components: FaultDriverComponents) {
    this.#components = components
  }

  /** Faults that are in force now. */
  get active(): number {
    return this.#heals.size
  }

  plan(faults: readonly ScenarioFault[]): void {
    const { clock, random } = this.#components
    for (const [index, fault] of faults.entries()) {
      const nowMs = clock.monotonicMs()
      const cancel = clock.setTimer(Math.max(0, fault.atMs - nowMs), () => {
        this.#planned.delete(cancel)
        this.inject(fault, random.fork(`fault ${index}`))
      })
      this.#planned.add(cancel)
    }
  }

  /** Ends every fault, and plans no more. */
  healAll(): void {
    for (const cancel of this.#planned) cancel()
    this.#planned.clear()
    for (const heal of [...this.#heals]) heal()
  }

  /** Makes a fault happen now, whatever its `atMs` says. */
  inject(fault: ScenarioFault, random: Random): void {
    if (fault.kind === 'partition') {
      this.#partition(fault, random)
      return
    }
    for (const node of this.#targets(fault.target, random)) this.#hit(fault, node)
  }

  #hit(fault: Exclude<ScenarioFault, { kind: 'partition' }>, node: SimNode): void {
    const { clock, internet } = this.#components
    const name = `node ${node.number}`
    switch (fault.kind) {
      case 'crash':
        this.#happened('fault', `${name} is killed`, node)
        node.crash()
        if (fault.restartAfterMs !== undefined) this.#healAfter(fault.restartAfterMs, () => node.start())
        break
      case 'freeze':
        this.#happened('fault', `${name} freezes`, node)
        node.freeze()
        this.#healAfter(fault.forMs, () => {
          node.thaw()
          this.#happened('heal', `${name} thaws`, node)
        })
        break
      case 'slow':
        this.#happened('fault', `${name} computes ${fault.factor} times slower`, node)
        node.condition.slowFactor = fault.factor
        this.#healAfter(fault.forMs, () => {
          node.condition.slowFactor = 1
          this.#happened('heal', `${name} computes as before`, node)
        })
        break
      case 'lie':
        this.#happened('fault', `${name} begins to lie`, node)
        node.condition.lieShare = fault.share
        this.#healAfter(Infinity, () => {
          node.condition.lieShare = 0
        })
        break
      case 'corrupt': {
        this.#happened('fault', `bytes of ${name} are flipped on their way`, node)
        const end = internet.corrupt({ peers: (peer) => peer === node.peer, share: fault.share })
        this.#healAfter(fault.forMs, end)
        break
      }
      case 'clock-jump':
        this.#happened('fault', `the wall clock of ${name} jumps by ${fault.byMs} ms`, node)
        clock.note(fault.byMs >>> 0)
        node.jumpClock(fault.byMs)
        break
      case 'full-disk':
        this.#happened('fault', `the disk of ${name} is full`, node)
        node.disk.full = true
        this.#healAfter(fault.forMs, () => {
          node.disk.full = false
        })
        break
    }
  }

  #partition(fault: Extract<ScenarioFault, { kind: 'partition' }>, random: Random): void {
    const [first, second] = fault.between
    const from = this.#peers(first, random.fork('from'))
    const to = this.#peers(second, random.fork('to'))
    // A peer is not cut off from its own side.
    for (const peer of from) to.delete(peer)
    this.#happened('fault', `${from.size} peers are cut off from ${to.size} others${fault.oneWay ? ' one way' : ''}`)
    const heal = this.#components.internet.cut({ from: (peer) => from.has(peer), to: (peer) => to.has(peer), oneWay: fault.oneWay })
    this.#healAfter(fault.forMs, () => {
      heal()
      this.#happened('heal', `${from.size} peers are connected again with ${to.size} others`)
    })
  }

  #healAfter(ms: number, heal: () => void): void {
    let cancel = (): void => {}
    const once = (): void => {
      if (!this.#heals.delete(once)) return
      cancel()
      heal()
    }
    this.#heals.add(once)
    cancel = this.#components.clock.setTimer(ms, once)
  }

  #targets(target: FaultTarget, random: Random): SimNode[] {
    const { nodes } = this.#components
    if ('node' in target) return nodes.filter(({ number }) => number === target.node)
    if ('group' in target) return nodes.filter(({ group }) => group.name === target.group)
    if ('region' in target) return nodes.filter(({ region }) => region === target.region)
    const pool = [...nodes]
    const chosen: SimNode[] = []
    while (chosen.length < target.random && pool.length > 0) chosen.push(...pool.splice(random.below(pool.length), 1))
    return chosen
  }

  #peers(target: FaultTarget, random: Random): Set<PeerId> {
    if ('region' in target) {
      return new Set([...this.#components.regionOf].filter(([, region]) => region === target.region).map(([peer]) => peer))
    }
    return new Set(this.#targets(target, random).map(({ peer }) => peer))
  }

  #happened(kind: 'fault' | 'heal', text: string, node?: SimNode): void {
    this.#components.happened(kind, text, node?.number)
  }
}
