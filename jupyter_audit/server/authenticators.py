"""
What a browser is asked of passkeys, and whether its answers are taken: py_webauthn, at the addresses that are this server's.

The ledger's own check (`access/passkey.py`) says whether a passkey signed; this one says besides whether it did so at one of
our addresses, in the very form that WebAuthn asks for. Without the package `webauthn` there are no passkeys, and the panel
says what to install. Must never keep anything: `access/ceremonies.py` does.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tornado.httputil import HTTPServerRequest

from jupyter_audit.access.passkey import (
    Assertion,
    Passkey,
    PasskeyError,
    decode,
    encode,
    is_at,
    public_of,
    text_of,
)
from jupyter_audit.errors import AccessError, ConfigError
from jupyter_audit.settings import JupyterAudit

RP_NAME = "Jupyter Audit"
TIMEOUT_MS = 120_000
ES256, EDDSA, RS256 = -7, -8, -257
"""COSE's numbers of algorithms (RFC 9053, RFC 8812), those that we like best first."""


class PasskeysUnavailableError(AccessError):
    """Passkeys cannot be used on this server, or not at the address that was asked."""

    code = "passkeys_unavailable"


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The host that passkeys are for, and the origins at which they may sign."""

    rp_id: str
    origins: tuple[str, ...]


def check_settings(settings: JupyterAudit) -> None:
    """Raise `ConfigError` if the settings of passkeys cannot be those of any browser."""
    for origin in settings.passkey_origins:
        host = settings.passkey_rp_id or _host(origin)
        if not is_at(origin, host) or _is_address(host):
            raise ConfigError(
                f"c.JupyterAudit.passkey_origins: {origin!r} is no address at which a browser uses passkeys of {host!r}.",
                advice="An origin is https://host or https://host:port, or http://localhost:port, without a path; the host is "
                "passkey_rp_id or below it, and a name, no number.",
                setting=("passkey_origins",),
            )


def relying_party(settings: JupyterAudit, request: HTTPServerRequest) -> RelyingParty:
    """Return what passkeys are for on a request's address. Raises `PasskeysUnavailableError` where there can be none."""
    if find_spec("webauthn") is None:
        raise PasskeysUnavailableError(
            "Passkeys need a package that this server does not have.",
            advice="An admin installs it: pip install 'jupyter-audit[passkeys]'.",
        )
    origins = tuple(settings.passkey_origins) or (f"{request.protocol}://{request.host}",)
    rp_id = settings.passkey_rp_id or _host(origins[0])
    if _is_address(rp_id) or not all(is_at(origin, rp_id) for origin in origins):
        raise PasskeysUnavailableError(
            f"No browser uses passkeys at {origins[0]}: they need https and the name of a host, or http://localhost.",
            advice="On the server's own machine open this page at http://localhost. An admin says in "
            "c.JupyterAudit.passkey_origins where approvers open it (docs/signed-approvals.md).",
        )
    return RelyingParty(rp_id, origins)


def creation_options(party: RelyingParty, name: str, known: Sequence[Passkey], challenge: bytes) -> dict[str, Any]:
    """Return PublicKeyCredentialCreationOptionsJSON for a new passkey of somebody who has the `known` ones."""
    import webauthn
    from webauthn.helpers import structs
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    options = webauthn.generate_registration_options(
        rp_id=party.rp_id,
        rp_name=RP_NAME,
        user_name=name,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        # What make a passkey is proves nothing here, and a browser would ask whether it may say so.
        attestation=structs.AttestationConveyancePreference.NONE,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=decode(each.credential)) for each in known],
        supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in (ES256, EDDSA, RS256)],
    )
    return _plain(webauthn.options_to_json(options))


def signing_options(party: RelyingParty, passkeys: Sequence[Passkey], challenge: bytes) -> dict[str, Any]:
    """Return PublicKeyCredentialRequestOptionsJSON for a signature of one of these passkeys."""
    import webauthn
    from webauthn.helpers import structs

    options = webauthn.generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=decode(each.credential)) for each in passkeys],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return _plain(webauthn.options_to_json(options))


def challenge_in(client_data: bytes) -> str:
    """Return the challenge that a browser's data names, which is not checked yet. Raises `PasskeyError`."""
    try:
        said = json.loads(client_data)
        return str(said["challenge"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PasskeyError("the browser's data is not JSON with a challenge") from error


def made(party: RelyingParty, credential: str, client_data: bytes, attestation: bytes, label: str) -> Passkey:
    """Return the passkey that a browser made, under the challenge that its data names. Raises `PasskeyError`."""
    import webauthn
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.exceptions import WebAuthnException

    response = {"clientDataJSON": encode(client_data), "attestationObject": encode(attestation)}
    try:
        verified = webauthn.verify_registration_response(
            credential={"id": credential, "rawId": credential, "type": "public-key", "response": response},
            expected_challenge=decode(challenge_in(client_data)),
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in (ES256, EDDSA, RS256)],
        )
        public = decoded_public_key_to_cryptography(decode_credential_public_key(verified.credential_public_key))
    except (WebAuthnException, ValueError, TypeError, KeyError, IndexError) as error:
        raise PasskeyError(f"the browser's passkey is not one: {error}") from error
    return Passkey(text_of(public), encode(verified.credential_id), party.rp_id, label, verified.aaguid)


def check_signed(party: RelyingParty, counters: Mapping[Passkey, int], challenge: bytes, said: Assertion) -> None:
    """Raise `PasskeyError` unless one of these passkeys, whose counters stand there, signed the challenge at our address."""
    import webauthn
    from webauthn.helpers.exceptions import WebAuthnException

    passkey = next((each for each in counters if each.credential == said.credential), None)
    if passkey is None:
        raise PasskeyError("another passkey signed than was asked")
    response = {
        "clientDataJSON": encode(said.client_data),
        "authenticatorData": encode(said.authenticator_data),
        "signature": encode(said.signature),
    }
    try:
        webauthn.verify_authentication_response(
            credential={"id": said.credential, "rawId": said.credential, "type": "public-key", "response": response},
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=cose_of(passkey),
            credential_current_sign_count=counters[passkey],
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError) as error:
        raise PasskeyError(str(error)) from error


def cose_of(passkey: Passkey) -> bytes:
    """Return a public key as py_webauthn reads it: a COSE_Key (RFC 9052, section 7), which is CBOR."""
    from webauthn.helpers import encode_cbor

    public = public_of(passkey.text)
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return encode_cbor({1: 2, 3: ES256, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return encode_cbor({1: 3, 3: RS256, -1: _whole(numbers.n), -2: _whole(numbers.e)})
    assert isinstance(public, ed25519.Ed25519PublicKey)
    return encode_cbor({1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes(Encoding.Raw, PublicFormat.Raw)})


def _whole(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _plain(text: str) -> dict[str, Any]:
    options: dict[str, Any] = json.loads(text)
    return options


def _host(origin: str) -> str:
    host = origin.partition("://")[2]
    return host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return not host
    return True
