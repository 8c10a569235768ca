/**
 * libp2p 3 calls `Promise.withResolvers`, which Node.js has from version 22 on. This module is imported before libp2p.
 *
 * @packageDocumentation
 */
interface Resolvers<T> {
  promise: Promise<T>
  resolve: (value: T | PromiseLike<T>) => void
  reject: (reason?: unknown) => void
}

const host = Promise as unknown as { withResolvers?: <T>() => Resolvers<T> }

host.withResolvers ??= function withResolvers<T>(): Resolvers<T> {
  let resolve!: Resolvers<T>['resolve']
  let reject!: Resolvers<T>['reject']
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}

export {}
