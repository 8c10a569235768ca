export * from './runtime/span-runtime.ts'
export * from './graph/span-graph.ts'
export * from './checkpoint/model.ts'
