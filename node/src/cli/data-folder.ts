import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

/**
 * The user's folder for skein's own small files (keys, records): `skein` below the data folder that the system has for
 * programs. An `XDG_DATA_HOME` that is not absolute is ignored, as its specification says.
 */
export function defaultDataFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir()
): string {
  const shared = environment['XDG_DATA_HOME']
  if (shared !== undefined && isAbsolute(shared)) return join(shared, 'skein')
  if (platform === 'win32') return join(environment['LOCALAPPDATA'] ?? join(home, 'AppData', 'Local'), 'skein', 'Data')
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'skein')
  return join(home, '.local', 'share', 'skein')
}
