"""OpenAI's own client and LangChain's, through the gateway's `/v1`, without any key of OpenAI's."""

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


def test_the_official_client_is_answered_whole_and_in_pieces(suite, token):
    with client(suite, token) as sdk:
        model = next(iter(sdk.models.list())).id
        whole = sdk.chat.completions.create(model=model, messages=SUM)
        pieces = list(sdk.chat.completions.create(model=model, messages=SUM, stream=True))

    text = "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)
    assert whole.choices[0].message.content == text == "17 * 23 = 391"
    assert whole.usage.total_tokens > 0


def test_an_api_key_of_the_suite_is_a_key(suite, ada):
    body = {"name": "openai", "permissions": ["agent:query"]}
    key = ada("POST", "/auth/api-keys", json=body).json()["key"]

    with client(suite, key) as sdk:
        answer = sdk.chat.completions.create(model="embedded-lite", messages=SUM)

    assert answer.choices[0].message.content == "17 * 23 = 391"


def test_refusals_reach_the_client_as_its_own_errors(suite, token):
    with client(suite, "wrong") as stranger, pytest.raises(openai.AuthenticationError) as unknown:
        stranger.models.list()
    with client(suite, token) as sdk, pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="gpt-99", messages=SUM)

    assert unknown.value.code == "invalid_token"
    assert missing.value.code == "model_not_found"


def test_langchain_is_answered(suite, token):
    model = ChatOpenAI(base_url=f"{suite.url}/v1", api_key=token, model="embedded-lite")

    assert model.invoke("What is 17 * 23?").content == "17 * 23 = 391"
    assert "".join(each.content for each in model.stream("What is 17 * 23?")) == "17 * 23 = 391"
