/**
 * Finds the ONNX Runtime library that onnxruntime-node ships for this machine.
 *
 * @packageDocumentation
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { SkeinError } from '@skein/protocol'

/** ONNX Runtime cannot be used on this machine, or not in this installation. */
export class OrtUnavailableError extends SkeinError<'ERR_SKEIN_ORT_UNAVAILABLE'> {
  constructor(message: string, cause?: unknown) {
    super('ERR_SKEIN_ORT_UNAVAILABLE', message, { cause })
  }
}

const libraryNames: Partial<Record<NodeJS.Platform, RegExp>> = {
  linux: /^libonnxruntime\.so\.1$/,
  darwin: /^libonnxruntime\.1\.dylib$/,
  win32: /^onnxruntime\.dll$/
}

function packageFile(): string {
  try {
    return createRequire(import.meta.url).resolve('onnxruntime-node/package.json')
  } catch (error) {
    throw new OrtUnavailableError('the package onnxruntime-node is not installed: run npm install', error)
  }
}

/**
 * The path of the shared library.
 *
 * @throws OrtUnavailableError when the platform has none, or the package is incomplete
 */
export function ortLibraryPath(platform: NodeJS.Platform = process.platform, arch: string = process.arch): string {
  const pattern = libraryNames[platform]
  const folder = join(dirname(packageFile()), 'bin', 'napi-v6', platform, arch)
  if (pattern === undefined || !existsSync(folder)) {
    throw new OrtUnavailableError(
      `onnxruntime-node has no library for ${platform} on ${arch}: skein runs on x64 and arm64 Linux, arm64 macOS and Windows`
    )
  }
  const name = readdirSync(folder).find((file) => pattern.test(file))
  if (name === undefined) throw new OrtUnavailableError(`no ONNX Runtime library in ${folder}: install onnxruntime-node again`)
  return join(folder, name)
}

/** The version of the installed ONNX Runtime, such as `1.30.0`. @throws OrtUnavailableError */
export function ortVersion(): string {
  const { version } = JSON.parse(readFileSync(packageFile(), 'utf8')) as { version: string }
  return version
}
