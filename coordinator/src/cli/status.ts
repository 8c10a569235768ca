import { exitCodes } from '@skein/node'
import { AbortError } from '@skein/protocol'
import type { CliComponents } from './cli-io.ts'
import { CommandContext, interruptible } from './command-context.ts'
import type { OutputFlags, SwarmFlags } from './flags.ts'
import { statusLines } from './status-view.ts'
import { styleFor } from './terminal.ts'

/** `skein status`: who hosts what, and which blocks nobody serves. @returns the exit code */
export async function showStatus(flags: SwarmFlags & OutputFlags, components: CliComponents): Promise<number> {
  const context = new CommandContext(components, flags)
  return interruptible(context, exitCodes.interrupted, async (signal) => {
    // Gaps are what a status is for, so there is no waiting until they are filled.
    const client = await context.connect(flags, signal, 0)
    try {
      const status = await client.status({ signal })
      if (flags.json) await context.json(status)
      else for (const line of statusLines(status, styleFor(components.stdout, components.env))) await context.out.write(`${line}\n`)
      await context.out.flush()
      return exitCodes.done
    } catch (error) {
      if (context.out.broken.aborted) {
        await context.out.flush()
        return exitCodes.done
      }
      if (signal.aborted) throw new AbortError('interrupted')
      throw error
    } finally {
      await client.close()
    }
  })
}
