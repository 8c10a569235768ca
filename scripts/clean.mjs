/** `npm run clean`: deletes all that was built or cached. `-- --all` deletes the installed packages too. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { packageFolders, root } from './lib/workspace.mjs'

const targets = ['.cache', 'coverage', 'node_modules/.cache', ...packageFolders().map((folder) => join(folder, 'dist'))]
if (process.argv.includes('--all')) targets.push('node_modules')
for (const target of targets) rmSync(join(root, target), { recursive: true, force: true })
