export { connectDefaults, generateDefaults, generateLimits } from './client/types.ts'
export type {
  ChainStage,
  ChatSession,
  ChosenLogprob,
  ConnectOptions,
  ConnectProgress,
  FinishReason,
  ForwardOptions,
  ForwardResult,
  GenerateOptions,
  Generation,
  GenerationEvent,
  GenerationPiece,
  GenerationResult,
  GenerationTimings,
  NodeStatus,
  RecoveryReason,
  SessionOptions,
  StatusOptions,
  SwarmClient,
  SwarmStatus,
  TokenLogprob,
  Transport
} from './client/types.ts'
export type { ChatContentPart, ChatMessage } from './text/chat-message.ts'
export { resolveSampling, samplingDefaults, samplingLimits } from './text/sampling/options.ts'
export type { ResolvedSampling, SamplingOptions } from './text/sampling/options.ts'
