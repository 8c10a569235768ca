/** Pipes whose rates are found together at the most; beyond, the rest of a crowd of pipes counts as it is. */
const maxTogether = 256
/** The fair rate of a pipe while it is being found. */
const unknown = -1

/** What is shared out among: one direction of a connection. */
export interface SharingPipe {
  readonly links: readonly Link[]
  /** Bytes per microsecond. */
  readonly maxRate: number
  readonly rate: number
  /** Used by `FairSharing`. */
  epoch: number
  fairRate: number
  /** It has joined its links and will have something to send. */
  readonly isStarting: boolean
  readonly isIdle: boolean
  readonly isContended: boolean
  /** Counts what has left by then. */
  settle(nowUs: number): void
  setRate(rate: number, nowUs: number): void
  leaveLinks(): void
}

/** An up- or downlink: a rate that the pipes through it share. */
export class Link {
  /** Bytes per microsecond. */
  rate: number
  /** Those with something to send, and idle ones that nobody has noticed yet. */
  readonly pipes: SharingPipe[] = []
  /** Used by `FairSharing`. */
  epoch = 0
  freeRate = 0
  open = 0
  /** When the last single packet that took this link has left. */
  expressFreeUs = 0

  constructor(rate: number) {
    this.rate = rate
  }

  add(pipe: SharingPipe): void {
    this.pipes.push(pipe)
  }

  remove(pipe: SharingPipe): void {
    const index = this.pipes.indexOf(pipe)
    if (index < 0) return
    const last = this.pipes.pop() as SharingPipe
    if (index < this.pipes.length) this.pipes[index] = last
  }

  /** Pipes that were alone on all their links end without an event; they are noticed when somebody else comes. */
  forgetIdle(nowUs: number): void {
    for (let index = this.pipes.length - 1; index >= 0; index--) {
      const pipe = this.pipes[index] as SharingPipe
      pipe.settle(nowUs)
      // One that shares a link with others has an event for its end, which also sees to those others.
      if (pipe.isIdle && !pipe.isContended) pipe.leaveLinks()
    }
  }
}

/**
 * Max-min fair rates of all pipes that are connected, through shared links, with some links: progressive filling
 * (Bertsekas and Gallager, Data Networks, section 6.5.2). A pipe gets the least of what its links have for it, and what it
 * cannot use on one link the others there get.
 *
 * The pipes of the given links are always taken together. From there it follows shared links outward until 256 pipes are
 * together; the rates of pipes beyond stay as they are, so that the cost does not grow with the swarm.
 */
export class FairSharing {
  #epoch = 0

  /** Sets the rates anew after something on these links has changed. */
  share(seeds: readonly Link[], nowUs: number): void {
    const { links, pipes } = this.#connected(seeds, nowUs)
    for (const link of links) {
      link.freeRate = link.rate
      link.open = 0
      for (const pipe of link.pipes) {
        if (pipe.fairRate === unknown) link.open++
        else link.freeRate -= pipe.rate
      }
      link.freeRate = Math.max(link.freeRate, link.rate / 1000)
    }
    fill(links, pipes)
    for (const pipe of pipes) pipe.setRate(pipe.fairRate, nowUs)
  }

  #connected(seeds: readonly Link[], nowUs: number): { links: Link[]; pipes: SharingPipe[] } {
    const epoch = ++this.#epoch
    const links: Link[] = []
    const pipes: SharingPipe[] = []
    const addLink = (link: Link): void => {
      if (link.epoch === epoch) return
      link.epoch = epoch
      links.push(link)
    }
    for (const link of seeds) addLink(link)
    for (let index = 0; index < links.length; index++) {
      const link = links[index] as Link
      if (index >= seeds.length && pipes.length >= maxTogether) break
      for (const pipe of [...link.pipes]) {
        if (pipe.epoch === epoch) continue
        pipe.epoch = epoch
        for (const other of pipe.links) addLink(other)
        pipe.settle(nowUs)
        if (pipe.isIdle && !pipe.isStarting) pipe.leaveLinks()
        else {
          pipe.fairRate = unknown
          pipes.push(pipe)
        }
      }
    }
    return { links, pipes }
  }
}

function fill(links: readonly Link[], pipes: readonly SharingPipe[]): void {
  let open = pipes
  while (open.length > 0) {
    let level = Infinity
    for (const link of links) if (link.open > 0) level = Math.min(level, link.freeRate / link.open)
    const capped = open.filter((pipe) => pipe.maxRate <= level)
    const fixed =
      capped.length > 0 ? capped : open.filter((pipe) => pipe.links.some((link) => link.open > 0 && link.freeRate / link.open <= level))
    const rates = fixed.map((pipe) => Math.min(level, pipe.maxRate))
    for (const [index, pipe] of fixed.entries()) {
      const rate = rates[index] as number
      pipe.fairRate = rate
      for (const link of pipe.links) {
        link.freeRate = Math.max(0, link.freeRate - rate)
        link.open--
      }
    }
    open = open.filter((pipe) => pipe.fairRate === unknown)
  }
}
