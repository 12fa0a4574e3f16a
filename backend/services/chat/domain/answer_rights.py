"""Rights of an answer: the permissions that the agent uses for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from backend.chassis.database.sessions import Database
from backend.chassis.service_accounts import ServiceAccountTokens
from backend.security import Permission
from backend.services.chat.clients.delegations import DelegationClient, DelegationRefused
from backend.services.chat.store import accounts
from backend.services.chat.store.tables import Account, Conversation

# What the agent may do for a user after the user's request.
DELEGATED: Final = (Permission.AGENT_QUERY, Permission.RAG_READ, Permission.PACKAGES_READ)


class AccountKeyMissing(Exception):
    """The account has no key of a service account, so the agent cannot answer in its name."""


@dataclass(frozen=True, slots=True)
class AnswerRights:
    """The user or the account whose permissions the agent uses.

    Attributes:
        owner: names both, to notice that they have changed.
        session_id: session of the user at auth; None for the account.
    """

    owner: str
    tenant_id: str
    account_id: str
    user_id: str | None = None
    session_id: str | None = None


class RightsSource:
    """Chooses the rights of an answer, and authenticates requests with them.

    Args:
        database: sees the rows of all tenants.
        create_tokens: returns the tokens of a service account, given how to load its sealed key.
    """

    def __init__(
        self,
        database: Database,
        delegations: DelegationClient,
        create_tokens: Callable[[Callable[[], str]], ServiceAccountTokens],
    ) -> None:
        self._database = database
        self._delegations = delegations
        self._create_tokens = create_tokens
        self._tokens: dict[str, ServiceAccountTokens] = {}

    def choose(self, conversation: Conversation, account: Account | None) -> AnswerRights:
        """Return the owner's rights in an own web conversation, else those of the account.

        As soon as a colleague has joined, answers use the rights of the account: otherwise one
        person could read what the other one may read.
        """
        is_own = conversation.channel == "web" and conversation.shared_at is None
        if is_own and conversation.owner_id is not None:
            return AnswerRights(
                f"user:{conversation.owner_id}",
                conversation.tenant_id,
                conversation.account_id,
                conversation.owner_id,
                conversation.session_id,
            )
        del account
        return AnswerRights(
            f"account:{conversation.account_id}", conversation.tenant_id, conversation.account_id
        )

    def get_headers(
        self, rights: AnswerRights, request_headers: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        """Return the headers of requests to the agent.

        Args:
            request_headers: of the owner's request that is in progress, or None.

        Raises:
            DelegationRefused: the user's session has ended.
            AccountKeyMissing: the account has no key.
            ServiceAccountKeyRejected, ServiceAccountUnavailable, UpstreamError.
        """
        if rights.user_id is None:
            return {"Authorization": f"Bearer {self._get_account_token(rights.account_id)}"}
        if request_headers is not None:
            return request_headers
        if rights.session_id is None:
            raise DelegationRefused
        return self._delegations.get_headers(rights.session_id, rights.tenant_id, DELEGATED)

    def _get_account_token(self, account_id: str) -> str:
        self._load_sealed_key(account_id)  # raises AccountKeyMissing before a token is requested
        tokens = self._tokens.get(account_id)
        if tokens is None:
            tokens = self._create_tokens(lambda: self._load_sealed_key(account_id))
            self._tokens[account_id] = tokens
        return tokens.get_token()

    def _load_sealed_key(self, account_id: str) -> str:
        with self._database.read() as session:
            account = accounts.get_account(session, account_id)
            if account is None or account.agent_key is None or account.state != "active":
                raise AccountKeyMissing(
                    "The account has no key of a service account. Set agent_key."
                )
            return account.agent_key
