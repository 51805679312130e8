import { GppModel } from '@iabgpp/cmpapi';
import { TCString } from '@iabtechlabtcf/core';
import type { OptOut, PurposePolicy } from './model.ts';

/**
 * What a consent string of the advertising industry says of one of our purposes, by the policy's mapping. The strings are read by IAB's
 * own libraries: IAB Europe's Transparency and Consent Framework (TCF), and the Global Privacy Platform (GPP), https://iabtechlab.com/gpp.
 */

/** `unknown-status` is a string that cannot be read: it refuses. Null: the string says nothing of the purpose. */
export type Signal = 'granted' | 'denied' | 'unknown-status' | null;
export type SignalKind = 'tcf' | 'gpp';
export const SIGNAL_KINDS: readonly SignalKind[] = ['tcf', 'gpp'];

/** Whether the policy reads strings of a kind for this purpose. A GPP string may hold a TCF one. */
export const reads = (policy: PurposePolicy, kind: SignalKind): boolean =>
  policy.tcf !== undefined || (kind === 'gpp' && policy.gpp !== undefined);

/** What one string says for each of the policies, in their order. It is decoded once. */
export function signalsOf(kind: SignalKind, text: string, policies: readonly PurposePolicy[]): readonly Signal[] {
  const read = kind === 'tcf' ? readTcf(text) : readGpp(text);
  return policies.map((policy) => {
    if (!reads(policy, kind)) return null;
    return read === undefined ? 'unknown-status' : read(policy);
  });
}

/** The stricter of two signals: one that cannot be read is a refusal, and who has said no has said no. */
export function stricter(a: Signal, b: Signal): Signal {
  const order: readonly Signal[] = [null, 'granted', 'unknown-status', 'denied'];
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}

type Reader = (policy: PurposePolicy) => Signal;

/** RestrictionType.NOT_ALLOWED of the library, an enum that type stripping cannot import: the publisher does not allow it at all. */
const NOT_ALLOWED = 0;

/** TCF 2: granted with consent to every mapped purpose, and to the vendor where one is named. Legitimate interest grants nothing. */
function readTcf(text: string): Reader | undefined {
  try {
    const model = TCString.decode(text);
    if (Number(model.version) !== 2) return undefined;
    return ({ tcf }) => {
      if (tcf === undefined) return null;
      const { vendor } = tcf;
      const forbidden = vendor === undefined ? [] : model.publisherRestrictions.getRestrictions(vendor);
      const allowed = tcf.purposes.every(
        (purpose) =>
          model.purposeConsents.has(purpose) &&
          !forbidden.some((one) => one.purposeId === purpose && Number(one.restrictionType) === NOT_ALLOWED),
      );
      return allowed && (vendor === undefined || model.vendorConsents.has(vendor)) ? 'granted' : 'denied';
    };
  } catch {
    // Whatever it throws: nobody can say what the person wanted.
    return undefined;
  }
}

/** Fields of the sections of US states and of the national one; 1 is an opt-out. */
const FIELDS: Readonly<Record<OptOut, string>> = {
  sale: 'SaleOptOut',
  sharing: 'SharingOptOut',
  targeted_advertising: 'TargetedAdvertisingOptOut',
};
const OPTED_OUT = 1;

/**
 * GPP: an opt-out that is mapped, in any section of the US, is a refusal, and so is Global Privacy Control, which is an opt-out of all
 * three by law. Having not opted out grants nothing and takes no refusal back, so it says nothing. A section of TCF 2 is read as such.
 */
function readGpp(text: string): Reader | undefined {
  try {
    const model = new GppModel(text);
    const sections = Object.entries(model.toObject() as Readonly<Record<string, Readonly<Record<string, unknown>>>>);
    const tcf = model.hasSection('tcfeuv2') ? readTcf(model.encodeSection('tcfeuv2')) : () => null;
    if (tcf === undefined) return undefined;
    const optedOut = ({ gpp }: PurposePolicy): boolean =>
      gpp !== undefined &&
      sections.some(
        ([name, fields]) =>
          name.startsWith('us') &&
          (fields['Gpc'] === true ||
            (gpp.optOuts.includes('sale') && fields['OptOutSale'] === 'Y') ||
            gpp.optOuts.some((optOut) => fields[FIELDS[optOut]] === OPTED_OUT)),
      );
    return (policy) => stricter(tcf(policy), optedOut(policy) ? 'denied' : null);
  } catch {
    return undefined;
  }
}
