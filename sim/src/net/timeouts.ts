/** How long a dial waits, in milliseconds: as the libp2p port has it. */
export const dialTimeoutMs = 6_000
/** How long libp2p's connection monitor waits for an answer before it gives a connection up, in milliseconds. */
export const keepAliveTimeoutMs = 5_000
