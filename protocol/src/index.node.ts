export { ed25519Identity, ed25519Verifier } from './ports/system/ed25519.node.ts'
export type { KeyIdentity } from './ports/system/ed25519.node.ts'
