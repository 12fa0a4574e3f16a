"""Organizations of Clerk as tenants: a tenant for each, and its members as Clerk states them.

Only the roles `tenant_admin` and `user` are granted. Other roles of a member, which administrators
here grant, are not changed, so that a role can neither be gained nor lost by a claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from backend.chassis.database.sessions import (
    Session,
    acquire_transaction_lock,
    call_after_commit,
)
from backend.services.auth.clients.clerk.tokens import ClerkOrganization, ClerkSession
from backend.services.auth.domain.account_events import record_user_changed
from backend.services.auth.domain.accounts import ADMIN_ROLE, DEFAULT_ROLE
from backend.services.auth.domain.administration.tenants import TENANT_ADMIN_ROLE, choose_slug
from backend.services.auth.domain.audit import RequestOrigin, record_audit_event
from backend.services.auth.domain.revocations import RevocationPublisher
from backend.services.auth.errors import InvalidClerkToken
from backend.services.auth.store import accounts, tenants
from backend.services.auth.store.base import generate_id
from backend.services.auth.store.credentials import external_identities
from backend.services.auth.store.credentials import external_organizations as store


@dataclass(frozen=True, slots=True)
class MembershipStatement:
    """A membership as Clerk states it. *is_admin* is None for a removed member."""

    organization: str
    subject: str
    is_admin: bool | None
    stated_at: datetime

    @property
    def role(self) -> str | None:
        if self.is_admin is None:
            return None
        return TENANT_ADMIN_ROLE if self.is_admin else DEFAULT_ROLE


def lock_clerk_user(session: Session, issuer: str, subject: str) -> None:
    """Serialize the transactions for one user of Clerk.

    It is the first lock of each of them, so that two cannot wait for each other.
    """
    acquire_transaction_lock(session, f"clerk user {issuer} {subject}")


class ClerkOrganizations:
    """Applies Clerk's memberships to tenants.

    Args:
        configured: tenant (id or slug) by id of the organization. Other organizations get a new
            tenant when their first member signs in.
    """

    def __init__(
        self, issuer: str, configured: Mapping[str, str], publisher: RevocationPublisher
    ) -> None:
        self._issuer = issuer
        self._configured = configured
        self._publisher = publisher

    def apply_claim(
        self,
        session: Session,
        user: accounts.User,
        clerk_session: ClerkSession,
        organization: ClerkOrganization,
        origin: RequestOrigin,
        now: datetime,
    ) -> str:
        """Apply the organization of a token and return the tenant.

        A role that Clerk has changed since the token was issued is not changed back.

        Raises:
            InvalidClerkToken: Clerk has removed the member since, or the tenant was deleted.
        """
        self._lock_organization(session, organization.id)
        tenant_id = self._find_tenant(session, organization.id)
        if tenant_id is None:
            tenant_id = self._create_tenant(session, user, organization, origin, now)
        statement = MembershipStatement(
            organization.id, clerk_session.subject, organization.is_admin, clerk_session.issued_at
        )
        role = self._apply_statement(session, user, tenant_id, statement, origin, now)
        if role is None:
            raise InvalidClerkToken("organization", "The user is not a member any more.")
        return tenant_id

    def apply_event(
        self,
        session: Session,
        statement: MembershipStatement,
        origin: RequestOrigin,
        now: datetime,
    ) -> None:
        """Apply a membership that a webhook reports as changed or removed.

        A changed membership that is unknown here is applied when the member signs in.
        """
        lock_clerk_user(session, self._issuer, statement.subject)
        self._lock_organization(session, statement.organization)
        known = store.find_membership(
            session, self._issuer, statement.organization, statement.subject
        )
        if known is None and statement.is_admin is not None:
            return
        row = store.find_organization(session, self._issuer, statement.organization)
        identity = external_identities.find_identity(session, self._issuer, statement.subject)
        user = accounts.get_user(session, identity.user_id) if identity else None
        if row is None or user is None:
            self._save_statement(session, statement)
            return
        self._apply_statement(session, user, row.tenant_id, statement, origin, now)

    def find_linked_tenants(self, session: Session, tenant_ids: list[str]) -> frozenset[str]:
        """Return those of *tenant_ids* whose members Clerk states."""
        return store.find_linked_tenants(session, self._issuer, tenant_ids)

    def _lock_organization(self, session: Session, organization: str) -> None:
        acquire_transaction_lock(session, f"external organization {self._issuer} {organization}")

    def _find_tenant(self, session: Session, organization: str) -> str | None:
        row = store.find_organization(session, self._issuer, organization)
        if row is None:
            return None
        if tenants.get_tenant(session, row.tenant_id) is None:
            raise InvalidClerkToken("organization", "The tenant of the organization was deleted.")
        return row.tenant_id

    def _create_tenant(
        self,
        session: Session,
        user: accounts.User,
        organization: ClerkOrganization,
        origin: RequestOrigin,
        now: datetime,
    ) -> str:
        """Link the organization to its configured tenant, or to a new one."""
        configured = self._configured.get(organization.id)
        if configured is not None:
            tenant = tenants.find_tenant_by_slug(session, configured) or tenants.get_tenant(
                session, configured
            )
            if tenant is None or tenant.personal:
                raise InvalidClerkToken(
                    "organization", "CLERK_ORGANIZATIONS names a tenant that does not exist."
                )
        else:
            name = organization.slug or organization.id
            tenant = tenants.Tenant(
                id=generate_id(), slug=choose_slug(session, name), name=name, created_at=now
            )
            tenants.add_tenant(session, tenant)
            record_audit_event(
                session,
                now,
                origin,
                "tenant.create",
                actor_id=user.id,
                tenant_id=tenant.id,
                target=tenant.id,
                organization=organization.id,
            )
        store.add_organization(
            session,
            store.ExternalOrganization(
                issuer=self._issuer,
                organization=organization.id,
                tenant_id=tenant.id,
                created_at=now,
            ),
        )
        return tenant.id

    def _apply_statement(
        self,
        session: Session,
        user: accounts.User,
        tenant_id: str,
        statement: MembershipStatement,
        origin: RequestOrigin,
        now: datetime,
    ) -> str | None:
        """Apply *statement* unless a later one is known; return the role that is in force."""
        row = store.find_membership(
            session, self._issuer, statement.organization, statement.subject
        )
        if row is not None and statement.stated_at <= row.claimed_at:
            return row.role
        previous = row.role if row is not None else None
        # Also an unchanged role: a webhook about an earlier change may arrive later.
        self._save_statement(session, statement)
        if row is not None and previous == statement.role:
            return statement.role
        self._replace_role(session, user, tenant_id, previous, statement.role, origin, now)
        return statement.role

    def _save_statement(self, session: Session, statement: MembershipStatement) -> None:
        store.save_membership(
            session,
            store.ExternalMembership(
                issuer=self._issuer,
                organization=statement.organization,
                subject=statement.subject,
                role=statement.role,
                claimed_at=statement.stated_at,
            ),
        )

    def _replace_role(
        self,
        session: Session,
        user: accounts.User,
        tenant_id: str,
        previous: str | None,
        role: str | None,
        origin: RequestOrigin,
        now: datetime,
    ) -> None:
        """Replace the role that Clerk gave to the user by *role*; None removes the member."""
        old_roles = tenants.get_roles(session, tenant_id, user.id)
        if role is None and user.default_tenant_id == tenant_id:
            return  # An account stays in its home tenant, but no token is exchanged for it.
        if role is None:
            # Otherwise a removal at Clerk could remove the last administrator of the system.
            roles = [name for name in old_roles if name == ADMIN_ROLE]
        else:
            roles = [*(name for name in old_roles if name != previous), role]
        if set(roles) == set(old_roles):
            return
        tenants.replace_roles(session, tenant_id, user.id, roles, now)
        record_audit_event(
            session,
            now,
            origin,
            "member.put" if roles else "member.remove",
            target=user.id,
            tenant_id=tenant_id,
            roles=sorted(set(roles)),
            provider="clerk",
        )
        record_user_changed(session, user, ["roles"], now)
        if old_roles:
            self._revoke_tokens(session, user, now)

    def _revoke_tokens(self, session: Session, user: accounts.User, now: datetime) -> None:
        user_id, generation = user.id, accounts.raise_generation(session, user.id, now)
        call_after_commit(
            session, lambda: self._publisher.publish_user_generation(user_id, generation)
        )
