// Passkeys for the panel: has the browser make one, and sign with one what the server says that the ledger will hold.
// What is made and signed goes to the REST API, which checks it; nothing is kept here.
'use strict';

(() => {
  const encode = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const decode = text => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), c => c.charCodeAt(0));
  const ids = known => (known ?? []).map(each => ({ ...each, id: decode(each.id) }));

  const REASONS = {
    NotAllowedError: 'It was cancelled or took too long, or there is no passkey here that fits. Try again.',
    InvalidStateError: 'This device has a passkey of yours already.',
    SecurityError: 'The browser uses no passkeys at this address.',
    NotSupportedError: 'This device makes no passkeys of a kind that can be used here.',
  };

  const asked = async ask => {
    if (!navigator.credentials || !window.PublicKeyCredential) throw new Error('This browser has no passkeys at this address.');
    try {
      return await ask();
    } catch (error) {
      throw new Error(`The passkey was not used. ${REASONS[error.name] ?? error.message}`);
    }
  };

  // The spelling that the ledger keeps: RFC 8785, so the names in this order and no spaces.
  const sign = async options => {
    const publicKey = { ...options, challenge: decode(options.challenge), allowCredentials: ids(options.allowCredentials) };
    const { rawId, response } = await asked(() => navigator.credentials.get({ publicKey }));
    return JSON.stringify({
      authenticatorData: encode(response.authenticatorData),
      clientDataJSON: encode(response.clientDataJSON),
      id: encode(rawId),
      signature: encode(response.signature),
    });
  };

  const make = async options => {
    const publicKey = {
      ...options,
      challenge: decode(options.challenge),
      user: { ...options.user, id: decode(options.user.id) },
      excludeCredentials: ids(options.excludeCredentials),
    };
    const { rawId, response } = await asked(() => navigator.credentials.create({ publicKey }));
    return { id: encode(rawId), client_data: encode(response.clientDataJSON), attestation: encode(response.attestationObject) };
  };

  // Each takes the panel's way to the API, the form's address and its fields, and may return what to say then.
  window.auditPasskeys = {
    answer: async (call, act, fields) => {
      const [what, id, decision] = act.split('/'); // requests or held-cells
      const { statement, options } = await call(`${what}/${id}/challenge`, { ...fields, decision });
      await call(act, { ...fields, statement, signature: await sign(options) });
    },

    register: async (call, act, { label }) => {
      const { options } = await call('passkeys/creation', {});
      const offer = await call('passkeys/offers', { label, ...await make(options) });
      const proof = await sign(offer.proof);
      const vouched = offer.vouched ? await sign(offer.vouched) : null;
      const said = await call(act, { offer: offer.offer, proof, vouched });
      return said.offer ? 'The passkey waits for your key, for a quarter of an hour; the page says how.' : '';
    },
  };
})();
