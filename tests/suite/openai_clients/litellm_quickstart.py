"""The quickstart of LiteLLM, with the address and the key of the suite from the environment."""

import os

from litellm import completion

SERVER = {"api_base": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}
MODEL = "openai/embedded-lite"
messages = [{"content": "What is 17 * 23?", "role": "user"}]

response = completion(model=MODEL, messages=messages, **SERVER)
print(response.choices[0].message.content)

for part in completion(model=MODEL, messages=messages, stream=True, **SERVER):
    print(part.choices[0].delta.content or "", end="")
print()

for changes in ({"api_key": "sk-wrong"}, {"model": "openai/none"}, {"messages": []}):
    try:
        completion(**{"model": MODEL, "messages": messages, **SERVER, **changes})
    except Exception as error:  # noqa: BLE001 - the names of the classes are the result
        print(type(error).__name__)
