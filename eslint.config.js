import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

/**
 * The rules of DESIGN.md, section 3, and those that find mistakes. Formatting is prettier's job; which package may import
 * which is in .dependency-cruiser.cjs.
 */

/** Tests, and what helps them. */
const testFiles = [
  '**/*.test.ts',
  '**/arbitraries.ts',
  '**/*.test-helper.ts',
  '**/testing.ts',
  '**/testing.node.ts',
  '*/src/testing/**',
  'test/src/**'
]

const useClock = 'Time comes from the Clock port: take `clock: Clock` in the constructor.'
const useRandom = 'Randomness comes from the Random port: take `random: Random` in the constructor.'
const useNetwork = 'Peers are reached through the Network port: take `network: Network` in the constructor.'
const whenCollected = 'When memory is collected differs from run to run: let who made something end it.'
const useByteSource = 'Read remote bytes through the port that the constructor takes, not through the global fetch.'

/** Globals that no code outside the ports may touch, with the port to use. */
const portGlobals = {
  setTimeout: useClock,
  setInterval: useClock,
  setImmediate: useClock,
  performance: useClock,
  crypto: useRandom,
  fetch: useByteSource,
  WeakRef: whenCollected,
  FinalizationRegistry: whenCollected
}

/** Functions of node:crypto that draw random numbers; hashes and signatures are fine. */
const randomFunctions = ['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID', 'getRandomValues']

const portsNotGlobals = {
  'no-restricted-globals': ['error', ...Object.entries(portGlobals).map(([name, message]) => ({ name, message }))],
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: useClock },
    { object: 'process', property: 'hrtime', message: useClock },
    { object: 'process', property: 'uptime', message: useClock },
    {
      object: 'AbortSignal',
      property: 'timeout',
      message: 'Use clock.deadline(), so that the deadline is in virtual time in the simulator.'
    },
    {
      object: 'AbortSignal',
      property: 'any',
      message: 'It leaks listeners on Node 20: use clock.deadline() with a parent, or any-signal with clear().'
    },
    { object: 'Math', property: 'random', message: useRandom },
    { object: 'webcrypto', property: 'getRandomValues', message: useRandom },
    { object: 'webcrypto', property: 'randomUUID', message: useRandom },
    ...Object.entries(portGlobals).map(([property, message]) => ({ object: 'globalThis', property, message }))
  ],
  'no-restricted-syntax': [
    'error',
    { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: `${useClock} (new Date(clock.wallMs()) is fine.)` },
    {
      selector: "MemberExpression[property.name='localeCompare']",
      message: 'Locales differ from machine to machine: compare by < and >.'
    },
    { selector: 'TSEnumDeclaration', message: 'Use a const object and a union of its values, as WireErrorCode does.' }
  ],
  'no-restricted-imports': [
    'error',
    {
      paths: [
        ...['node:timers', 'timers', 'node:timers/promises', 'timers/promises'].map((name) => ({ name, message: useClock })),
        ...['node:perf_hooks', 'perf_hooks'].map((name) => ({ name, message: useClock })),
        ...['node:crypto', 'crypto'].map((name) => ({ name, importNames: randomFunctions, message: useRandom })),
        ...['p-retry', 'p-queue', 'p-timeout', 'delay', 'uuid', 'nanoid'].map((name) => ({
          name,
          message: 'It reads the global clock or random numbers; write it on the ports.'
        }))
      ],
      patterns: [
        { regex: '^(libp2p$|libp2p/|@libp2p/|@chainsafe/)', message: `Only protocol/src/libp2p imports libp2p. ${useNetwork}` },
        { regex: '^@skein/[^/]+/(src|dist)', message: 'Import the package by one of the names in its `exports`.' }
      ]
    }
  ]
}

/** Their last bit may differ from one machine or version of Node.js to another, and with it a simulated run. */
const transcendental = ['log', 'log2', 'log10', 'log1p', 'exp', 'expm1', 'pow', 'cbrt', 'hypot', 'sin', 'cos', 'tan']
const moreTranscendental = ['asin', 'acos', 'atan', 'atan2', 'sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh']
const exactMath = [...transcendental, ...moreTranscendental].map((property) => ({
  ...{ object: 'Math', property },
  message: 'Its last bit differs between machines: draw from tables, or use the series of workload/series.ts.'
}))

export default defineConfig([
  globalIgnores(['**/dist/', '**/coverage/', '**/generated/', '**/.cache/', 'test/models/', 'test/oracle/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,

  {
    name: 'skein/typescript',
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Promises and errors: each of these hides a hang or a swallowed failure.
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingAny: true, allowThrowingUnknown: true }],
      // Methods of a port are async because of other implementations.
      '@typescript-eslint/require-await': 'off',
      // describeError and its like print what they are given, whatever it is; templates are checked below.
      '@typescript-eslint/no-base-to-string': 'off',
      // Components are records of functions, taken apart in the constructor; the rule takes them for methods.
      '@typescript-eslint/unbound-method': 'off',

      // Types.
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/require-array-sort-compare': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-unused-expressions': 'error',

      // Small slips.
      eqeqeq: ['error', 'always'],
      'no-console': 'error',
      'no-constant-binary-expression': 'error',
      'no-template-curly-in-string': 'error',
      'no-unreachable-loop': 'error',
      'no-self-compare': 'error',
      'no-constructor-return': 'error',
      'prefer-const': 'error',

      // Size. DESIGN.md's aim is smaller; these are the points where a reader is lost.
      'max-lines': ['error', { max: 500 }],
      'max-lines-per-function': ['error', { max: 90, skipBlankLines: true, skipComments: true }],
      'max-depth': ['error', 4],
      'max-params': ['error', 8],
      complexity: ['error', 25],

      ...portsNotGlobals
    }
  },
  {
    name: 'skein/the-same-on-every-machine',
    files: ['sim/src/**'],
    rules: { 'no-restricted-properties': [...portsNotGlobals['no-restricted-properties'], ...exactMath] }
  },
  {
    name: 'skein/implementations-of-the-ports',
    files: ['protocol/src/ports/system/**', 'protocol/src/libp2p/**'],
    rules: {
      'no-restricted-globals': 'off',
      'no-restricted-properties': 'off',
      'no-restricted-syntax': 'off',
      'no-restricted-imports': 'off'
    }
  },
  {
    name: 'skein/commands',
    files: ['*/src/bin/**', '*/src/cli/**', 'test/src/bench/**'],
    rules: { 'no-console': 'off' }
  },
  {
    name: 'skein/tests',
    files: testFiles,
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      'max-lines-per-function': 'off',
      'max-params': 'off',
      complexity: 'off'
    }
  },
  {
    // Tests of real sockets and processes, and benchmarks, are on real time; a manual clock lets real turns of the loop pass.
    name: 'skein/real-time',
    files: testFiles,
    rules: {
      'no-restricted-globals': 'off',
      'no-restricted-properties': 'off',
      'no-restricted-syntax': 'off',
      'no-restricted-imports': 'off'
    }
  },
  {
    name: 'skein/scripts',
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: { globals: nodeGlobals() }
  },
  {
    name: 'skein/commonjs',
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs', globals: { require: 'readonly', module: 'writable' } }
  }
])

function nodeGlobals() {
  const names = [
    'process',
    'console',
    'performance',
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
    'Buffer',
    'URL',
    'fetch'
  ]
  return Object.fromEntries([...names, 'AbortController', 'AbortSignal', 'TextDecoder', 'TextEncoder'].map((name) => [name, 'readonly']))
}
