import assert from 'node:assert/strict'
import { isSkeinError } from '@skein/protocol'
import { familyOf, knownFamilies } from './registry.ts'

const base = {
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  max_position_embeddings: 512
}

const read = (modelType: string, changes: Record<string, unknown> = {}) =>
  familyOf(modelType).readConfig({ model_type: modelType, ...base, ...changes })

const refuses = (modelType: string, changes: Record<string, unknown>, word: string) =>
  assert.throws(
    () => read(modelType, changes),
    (error) => isSkeinError(error) && error.code === 'ERR_SKEIN_CHECKPOINT_BAD_CONFIG' && error.message.includes(word),
    word
  )

describe('families', () => {
  it('know their biases', () => {
    const biases = (modelType: string, changes?: Record<string, unknown>) => {
      const { attentionBias, outputBias, mlpBias } = read(modelType, changes)
      return [attentionBias, outputBias, mlpBias]
    }
    assert.deepEqual(biases('llama'), [false, false, false])
    assert.deepEqual(biases('llama', { attention_bias: true, mlp_bias: true }), [true, true, true])
    assert.deepEqual(biases('qwen2'), [true, false, false])
    assert.deepEqual(biases('mistral', { attention_bias: true }), [false, false, false])
  })

  it('list a block’s tensors with their shapes', () => {
    const config = read('qwen2')
    const tensors = familyOf('qwen2').blockTensors(config, 3)
    assert.equal(tensors.length, 12)
    assert.deepEqual(
      tensors.find(({ name }) => name === 'model.layers.3.self_attn.k_proj.bias'),
      { name: 'model.layers.3.self_attn.k_proj.bias', shape: [64] }
    )
    const tied = familyOf('llama').endTensors(read('llama', { tie_word_embeddings: true }))
    assert.deepEqual(tied.head, tied.embedding)
  })

  it('take a sliding window when all blocks have it, drop one that never shows, refuse a mixture', () => {
    const window = (modelType: string, changes: Record<string, unknown>) => read(modelType, changes).slidingWindowTokens
    assert.equal(window('llama', { sliding_window: 64 }), undefined)
    assert.equal(window('mistral', { sliding_window: 64 }), 64)
    assert.equal(window('mistral', { sliding_window: null }), undefined)
    assert.equal(window('mistral', { sliding_window: 512 }), undefined)
    assert.equal(window('qwen2', { sliding_window: 64 }), undefined)
    assert.equal(window('qwen2', { sliding_window: 64, use_sliding_window: true }), undefined) // from block 28 on
    assert.equal(window('qwen2', { sliding_window: 64, use_sliding_window: true, max_window_layers: 0 }), 64)
    refuses('qwen2', { sliding_window: 64, use_sliding_window: true, max_window_layers: 2 }, '2 of 4 blocks')
  })

  it('read the tokens that end a text', () => {
    assert.deepEqual(read('llama', { eos_token_id: [7, 9] }).eosTokenIds, [7, 9])
    assert.deepEqual(read('llama', { eos_token_id: 7, bos_token_id: 1 }).eosTokenIds, [7])
    assert.deepEqual(read('llama', { eos_token_id: null }).eosTokenIds, [])
  })

  it('refuse what cannot be', () => {
    refuses('llama', { hidden_size: undefined }, 'hidden_size')
    refuses('llama', { num_hidden_layers: 1e9 }, 'num_hidden_layers')
    refuses('llama', { num_key_value_heads: 3 }, 'multiple')
    refuses('llama', { head_dim: 24 }, 'multiple of 16')
    refuses('llama', { hidden_size: 130 }, 'multiple of 16')
    refuses('llama', { hidden_act: 'gelu' }, 'gelu')
    refuses('llama', { quantization_config: { bits: 4 } }, 'quantized')
  })

  it('are listed', () => assert.deepEqual(knownFamilies(), ['llama', 'mistral', 'qwen2']))
})
