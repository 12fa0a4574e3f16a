// The quickstart of OpenAI's client for Node. It reads OPENAI_BASE_URL and OPENAI_API_KEY.
import OpenAI from 'openai';

const client = new OpenAI();
const model = 'embedded-lite';
const question = { role: 'user', content: 'What is 17 * 23?' };

const completion = await client.chat.completions.create({
  model,
  messages: [{ role: 'developer', content: 'Talk like a pirate.' }, question],
});
console.log(completion.choices[0].message.content);

const stream = await client.chat.completions.create({ model, messages: [question], stream: true });
let text = '';
for await (const chunk of stream) {
  text += chunk.choices[0].delta.content ?? '';
}
console.log(text);

const runner = client.chat.completions.stream({
  model,
  messages: [question],
  stream_options: { include_usage: true },
});
console.log(await runner.finalContent(), (await runner.totalUsage()).total_tokens > 0);
console.log((await client.models.retrieve(model)).id);

const failures = [
  () => client.models.retrieve('none'),
  () => client.chat.completions.create({ model, messages: [{ role: 'user', content: ' ' }] }),
  () => new OpenAI({ apiKey: 'sk-wrong' }).models.list(),
];
for (const request of failures) {
  try {
    await request();
  } catch (error) {
    console.log(error.constructor.name, error.code, error.param);
  }
}
