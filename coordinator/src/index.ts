export { connectDefaults, conversationTokens, generateDefaults, generateLimits } from './client/types.ts'
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
  SwarmStatus,
  TokenLogprob,
  Transport
} from './client/types.ts'
export type { ChatContentPart, ChatMessage } from './text/chat-message.ts'
export { resolveSampling, samplingDefaults, samplingLimits } from './text/sampling/options.ts'
export type { ResolvedSampling, SamplingOptions } from './text/sampling/options.ts'
export { ChatTemplate, chatTemplateLimits } from './text/chat-template.ts'
export type { ChatTemplateFiles, RenderOptions } from './text/chat-template.ts'
export { ChatTemplateError, ModelFileError, SamplingError } from './text/errors.ts'
export type { ChatTemplateReason } from './text/errors.ts'
export { Tokenizer } from './text/tokenizer.ts'
export type { DecodeOptions, EncodeOptions, SpecialTokenIds, TokenizerFiles } from './text/tokenizer.ts'
export { chooseChain, chooseChainDefaults } from './routing/choose-chain.ts'
export type { ChainDecision, ChooseChainOptions, StageChoice, UncoveredReason } from './routing/choose-chain.ts'
export type { NodeView, SwarmView } from './routing/swarm-view.ts'
export { ChainMachine } from './session/chain-machine.ts'
export type { ChainMachineInit, ChainMachineOptions, ChainSnapshot } from './session/chain-machine.ts'
export type { ChainEffect, ChainEvent, ChosenStage } from './session/chain-events.ts'
export { SwarmClient } from './client/connect.node.ts'
export { NoCoverageError } from './client/coverage.ts'
export { SessionClosedError, SessionError } from './session/errors.ts'
export { ChainSession } from './session/chain-session.ts'
export type { ChainSessionComponents, ChainSessionInit } from './session/chain-session.ts'
export type { SessionEvent, SessionStage, StepOutput, TokenSession } from './session/token-session.ts'
export { joinSwarm } from './client/join-swarm.ts'
export type { JoinSwarmComponents, JoinSwarmInit } from './client/join-swarm.ts'
export type { ClientEnds } from './client/swarm-client.ts'
export type { ModelText } from './text/model-text.ts'
// How the commands of this project write to a terminal; skein-sim does it alike.
export { printable, ProgressLine, styleFor, table } from './cli/terminal.ts'
export { commandReference } from './cli/reference.ts'
export type { Style } from './cli/terminal.ts'
export type { TextSink } from './cli/cli-io.ts'
export { loadModelText } from './text/text-files.node.ts'
export { createEnds } from './ends/ends.node.ts'
