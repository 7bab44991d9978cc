"""The vault's tables: who a participant is, and the key of their words. Neither is ever in an event."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models

from keel.domain.events import new_id


class IdentityRow(models.Model):
    """Name, date of birth and contact of one participant, sealed with the site's master key."""

    participant = models.CharField(max_length=36, primary_key=True)
    site = models.CharField(max_length=60)
    sealed = models.BinaryField()  # personal, encrypted

    class Meta:
        db_table = "vault_identity"


class KeyRow(models.Model):
    """The key that seals one participant's free text, itself sealed with the master key."""

    participant = models.CharField(max_length=36, primary_key=True)
    wrapped = models.BinaryField()

    class Meta:
        db_table = "vault_key"


class LinkRow(models.Model):
    """A participant's personal link: only the digest of its secret is kept."""

    digest = models.CharField(max_length=64, primary_key=True)
    id = models.CharField(max_length=36, unique=True)
    participant = models.CharField(max_length=36, db_index=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)

    class Meta:
        db_table = "vault_link"


class Accounts(BaseUserManager["Account"]):
    def create_user(self, email: str, password: str | None = None, **more: object) -> Account:
        account = self.model(email=self.normalize_email(email), **more)
        account.set_password(password)
        account.save(using=self._db)
        return account

    def get_by_natural_key(self, username: str | None) -> Account:
        return self.get(email__iexact=username)


class Account(AbstractBaseUser, PermissionsMixin):
    """How a member of staff signs in. What they may do is not here: roles are events."""

    id = models.CharField(max_length=36, primary_key=True, default=new_id)
    email = models.EmailField(unique=True)  # personal
    name = models.CharField(max_length=120)  # personal
    is_active = models.BooleanField(default=True)
    is_staff = False
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]
    objects = Accounts()

    class Meta:
        db_table = "vault_account"

    def __str__(self) -> str:
        return self.name
