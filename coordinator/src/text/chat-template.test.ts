import assert from 'node:assert/strict'
import { ChatTemplate, chatTemplateLimits } from './chat-template.ts'
import { strftime } from './strftime.ts'
import { tinyText } from './testing.node.ts'

const user = [{ role: 'user', content: 'Hi' }]
const withTemplate = (template: string): ChatTemplate => new ChatTemplate({ config: { bos_token: { content: '<s>' } }, template })

describe('ChatTemplate', () => {
  it("renders the demo model's conversations", async () => {
    const { chatTemplate } = await tinyText()
    const messages = [...user, { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'Bye' }]
    const text = '<|begin|><|user|>Hi<|end|><|assistant|>Hello<|end|><|user|>Bye<|end|>'
    assert.equal(chatTemplate.render(messages), `${text}<|assistant|>`)
    assert.equal(chatTemplate.render(messages, { addGenerationPrompt: false }), text)
  })

  it('passes tools, content parts and other fields on', () => {
    const template = '{{ bos_token }}{% for t in tools %}{{ t.name }};{% endfor %}{{ messages[0].content[0].text }}{{ messages[0].name }}'
    const messages = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }], name: 'Ann' }]
    assert.equal(withTemplate(template).render(messages, { tools: [{ name: 'add' }, { name: 'mul' }] }), '<s>add;mul;HiAnn')
  })

  it('chooses the template for tools where there is one', () => {
    const config = {
      chat_template: [
        { name: 'default', template: 'plain' },
        { name: 'tool_use', template: 'tools' }
      ]
    }
    const template = new ChatTemplate({ config })
    assert.equal(template.render(user), 'plain')
    assert.equal(template.render(user, { tools: [] }), 'plain')
    assert.equal(template.render(user, { tools: [{}] }), 'tools')
  })

  it('takes the file before the configuration', () => {
    assert.equal(new ChatTemplate({ config: { chat_template: 'old' }, template: 'new' }).render(user), 'new')
  })

  it('says when the model has no template, or a broken one', () => {
    const none = new ChatTemplate({ config: {} })
    assert.equal(none.exists, false)
    assert.throws(() => none.render(user), { code: 'ERR_SKEIN_CHAT_TEMPLATE', reason: 'missing' })
    assert.throws(() => withTemplate('{% for %}').render(user), { reason: 'invalid' })
    const strict = withTemplate("{{ raise_exception('roles must alternate') }}")
    assert.throws(() => strict.render(user), { reason: 'refused', message: /roles must alternate/ })
  })

  it('bounds the template, the messages, the result and its loops', () => {
    assert.throws(() => withTemplate('x'.repeat(chatTemplateLimits.maxTemplateChars + 1)).render(user), { reason: 'too-long' })
    const long = [{ role: 'user', content: 'x'.repeat(chatTemplateLimits.maxInputChars + 1) }]
    assert.throws(() => withTemplate('{{ 1 }}').render(long), { reason: 'too-long' })
    const half = [{ role: 'user', content: 'x'.repeat(chatTemplateLimits.maxInputChars / 2) }]
    const five = '{{ messages[0].content }}'.repeat(5)
    assert.throws(() => withTemplate(five).render(half), { reason: 'too-long' })
    assert.throws(() => withTemplate('{% for i in range(1000000000) %}x{% endfor %}').render(user), { reason: 'refused' })
    assert.throws(() => withTemplate('{% for i in range(0, 1, 0) %}x{% endfor %}').render(user), { reason: 'refused' })
    assert.equal(
      withTemplate('{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}').render(user),
      '01253'
    )
  })

  it('tells the time only when it is handed in', () => {
    const dated = withTemplate("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}no date{% endif %}")
    assert.equal(dated.render(user), 'no date')
    assert.equal(dated.render(user, { nowMs: Date.UTC(2024, 6, 26, 12) }), '26 Jul 2024')
  })
})

describe('strftime', () => {
  it('writes the codes that it knows', () => {
    const time = Date.UTC(2031, 0, 5, 0, 7, 9)
    assert.equal(
      strftime('%A %a %B %b %d %m %Y %y %H:%M:%S %I %p 100%% %Q', time),
      'Sunday Sun January Jan 05 01 2031 31 00:07:09 12 AM 100% %Q'
    )
  })
})
