"""The official OpenAI client and LangChain through the gateway's `/v1`, without an OpenAI key."""

import openai
import pytest
from langchain_openai import ChatOpenAI

pytestmark = pytest.mark.suite
SUM = [{"role": "user", "content": "What is 17 * 23?"}]


@pytest.fixture
def token(ada):
    return str(ada.session.headers["Authorization"]).split()[1]


def client(suite, key):
    return openai.OpenAI(base_url=f"{suite.url}/v1", api_key=key, max_retries=0)


def test_official_client_gets_completion_and_stream(suite, token):
    with client(suite, token) as sdk:
        model = next(iter(sdk.models.list())).id
        completion = sdk.chat.completions.create(model=model, messages=SUM)
        chunks = list(sdk.chat.completions.create(model=model, messages=SUM, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert completion.choices[0].message.content == text == "17 * 23 = 391"
    assert completion.usage.total_tokens > 0


def test_streamed_citations_do_not_disturb_the_quickstart(suite, ada, token, tmp_path):
    file = tmp_path / "warranty.txt"
    file.write_text("The warranty of the Aurora heater lasts 42 months from the day of delivery.")
    ada.upload(file)
    question = "How many months does the warranty of the Aurora heater last?"

    with client(suite, token) as sdk:
        stream = sdk.chat.completions.create(
            model="embedded-lite", messages=[{"role": "user", "content": question}], stream=True
        )
        chunks = list(stream)
    langchain = ChatOpenAI(base_url=f"{suite.url}/v1", api_key=token, model="embedded-lite")
    langchain_text = "".join(chunk.content for chunk in langchain.stream(question))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "42 months" in text
    assert langchain_text == text
    assert "42 months" in chunks[-1].citations[0]["quote"]


def test_one_model_is_retrieved_through_the_gateway(suite, token):
    with client(suite, token) as sdk:
        assert sdk.models.retrieve("embedded-lite").id == "embedded-lite"
        with pytest.raises(openai.NotFoundError) as unknown:
            sdk.models.retrieve("gpt-99")

    assert unknown.value.code == "model_not_found"


def test_api_key_of_the_suite_is_accepted(suite, ada):
    body = {"name": "openai", "permissions": ["agent:query"]}
    key = ada("POST", "/auth/api-keys", json=body).json()["key"]

    with client(suite, key) as sdk:
        answer = sdk.chat.completions.create(model="embedded-lite", messages=SUM)

    assert answer.choices[0].message.content == "17 * 23 = 391"


def test_errors_become_exceptions_of_the_official_client(suite, token):
    with (
        client(suite, "wrong") as unauthenticated,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        unauthenticated.models.list()
    with client(suite, token) as sdk, pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="gpt-99", messages=SUM)

    assert unknown.value.code == "invalid_token"
    assert "token" in unknown.value.message
    assert missing.value.code == "model_not_found"


def test_langchain_gets_completion_and_stream(suite, token):
    model = ChatOpenAI(base_url=f"{suite.url}/v1", api_key=token, model="embedded-lite")

    assert model.invoke("What is 17 * 23?").content == "17 * 23 = 391"
    assert "".join(chunk.content for chunk in model.stream("What is 17 * 23?")) == "17 * 23 = 391"
