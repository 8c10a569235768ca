/**
 * The directions of DESIGN.md, section 2, as checks: protocol <- node <- coordinator <- sim, and test sees all of them.
 * Names of packages are resolved to their sources by .dependency-cruiser.tsconfig.json, so nothing has to be built.
 */
const packages = ['protocol', 'node', 'coordinator', 'sim', 'test']
/** Tests, and what helps them: `arbitraries.ts`, `x.test-helper.ts`, `testing.ts`. */
const tests = '([.]test|/arbitraries|[.]test-helper|/testing([.]node)?)[.]ts$'

/** A package may import only those before it in the list. */
const directions = packages.slice(0, -1).map((name, index) => ({
  name: `direction-of-${name}`,
  comment: `${name} may import only packages before it in: ${packages.join(' <- ')}. Move what it needs down, or hand it in as a port.`,
  severity: 'error',
  from: { path: `^${name}/src/` },
  to: { path: `^(${packages.slice(index + 1).join('|')})/` }
}))

/** The pure cores: snapshot or state in, decision or effects out. */
const pureCores = [
  '^(node|coordinator)/src/session/[^/]*machine[^/]*[.]ts$',
  '^coordinator/src/routing/',
  '^node/src/(batching/plan-|placement/(choose|should)-)'
]

module.exports = {
  forbidden: [
    ...directions,
    {
      name: 'no-cycles',
      comment: 'Files that import each other cannot be read or tested alone. Move what both need into a third. Types may be mutual.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } }
    },
    {
      name: 'no-deep-imports',
      comment: 'Another package is imported by a name in its `exports`, never by the path of a file.',
      severity: 'error',
      from: { path: '^([^/]+)/src/' },
      to: { path: '^[^/]+/(src|dist)/', pathNot: '^$1/', dependencyTypesNot: ['aliased'] }
    },
    {
      name: 'no-unresolvable',
      comment: 'The file or package does not exist, or is not in the `exports` of its package.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true }
    },
    {
      name: 'no-tests-in-production',
      comment: 'Code that is published must not import tests, nor what is only for tests.',
      severity: 'error',
      from: { path: '^(protocol|node|coordinator|sim)/src/', pathNot: [tests, '/src/testing/'] },
      to: { path: [tests, '/src/testing/'] }
    },
    {
      name: 'browser-safe',
      comment:
        'A browser peer is meant to come: in protocol and coordinator only files named *.node.ts, the libp2p host and commands use Node.js.',
      severity: 'error',
      from: {
        path: '^(protocol|coordinator)/src/',
        pathNot: [tests, '[.]node[.]ts$', '/src/testing/', '^protocol/src/libp2p/', '^coordinator/src/(bin|cli)/']
      },
      to: { dependencyTypes: ['core'] }
    },
    {
      name: 'browser-safe-through-imports',
      // The package's entry for Node.js may: a browser's entry is to be one of its own, beside it.
      comment: "A file that runs in a browser may not import one that needs Node.js. Export it from the package's index.node.ts instead.",
      severity: 'error',
      from: {
        path: '^(protocol|coordinator)/src/',
        pathNot: [
          tests,
          '[.]node[.]ts$',
          '/src/testing/',
          '^protocol/src/libp2p/',
          '^coordinator/src/(bin|cli)/',
          '^coordinator/src/index[.]ts$'
        ]
      },
      to: { path: ['^(protocol|coordinator)/src/.*[.]node[.]ts$', '^protocol/src/libp2p/'] }
    },
    {
      name: 'libp2p-only-in-its-folder',
      comment: 'All else reaches peers through the Network port, so that the simulator can run it.',
      severity: 'error',
      from: { path: '^[^/]+/src/', pathNot: ['^protocol/src/libp2p/', '^test/src/', tests] },
      to: { path: 'node_modules/(libp2p|@libp2p|@chainsafe)/' }
    },
    {
      name: 'pure-cores',
      comment: 'A pure core decides and does nothing: no Node.js, no implementation of a port, no runtime.',
      severity: 'error',
      from: { path: pureCores, pathNot: tests },
      to: {
        path: [
          '^protocol/src/(ports/system|libp2p|memory|testing)/',
          '[.]node[.]ts$',
          '^node/src/(runtime|daemon)/(?!span-runtime[.]ts$)',
          '^coordinator/src/(client|gateway|cli|bin)/'
        ],
        dependencyTypesNot: ['type-only']
      }
    },
    {
      name: 'pure-cores-without-node',
      comment: 'A pure core decides and does nothing: no Node.js.',
      severity: 'error',
      from: { path: pureCores, pathNot: tests },
      to: { dependencyTypes: ['core'] }
    },
    {
      name: 'families-are-data',
      comment: 'A model family says how its block is put together, on the graph builder; it runs nothing.',
      severity: 'error',
      from: { path: '^node/src/graph/', pathNot: tests },
      to: { path: '^node/src/(runtime|session|daemon|batching|cli)/', dependencyTypesNot: ['type-only'] }
    },
    {
      name: 'declared-dependencies',
      comment: 'The package must name in its own package.json what it imports; it works here only because npm hoists.',
      severity: 'error',
      from: { path: '^(protocol|node|coordinator|sim)/src/', pathNot: [tests, '/src/testing/'] },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'], dependencyTypesNot: ['type-only'] }
    }
  ],
  options: {
    tsPreCompilationDeps: 'specify',
    tsConfig: { fileName: '.dependency-cruiser.tsconfig.json' },
    doNotFollow: { path: ['node_modules'] },
    exclude: { path: ['^[^/]+/dist/', '/generated/'] },
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      mainFields: ['module', 'main', 'types']
    },
    skipAnalysisNotInRules: true
  }
}
