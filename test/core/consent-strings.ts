import { GppModel, RangeEntry } from '@iabgpp/cmpapi';

/** A TC string with consent to these purposes and vendors; with `forbidden` the publisher does not allow that vendor that purpose. */
export function tcString(
  purposes: readonly number[],
  vendors: readonly number[] = [],
  forbidden?: [purpose: number, vendor: number],
): string {
  const model = tcModel(new GppModel(), purposes, vendors);
  if (forbidden) {
    const [purposeId, vendor] = forbidden;
    const restriction = new RangeEntry(purposeId, 0, [vendor]);
    model.setFieldValue('tcfeuv2', 'PublisherRestrictions', [restriction]);
  }
  return model.encodeSection('tcfeuv2');
}

/** A GPP string of sections, `usnat: { SaleOptOut: 1 }`, and where purposes are given the TCF section too. */
export function gppString(
  sections: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  purposes?: readonly number[],
): string {
  const model = new GppModel();
  if (purposes) tcModel(model, purposes, []);
  for (const [section, fields] of Object.entries(sections))
    for (const [field, value] of Object.entries(fields)) model.setFieldValue(section, field, value);
  return model.encode();
}

function tcModel(model: GppModel, purposes: readonly number[], vendors: readonly number[]): GppModel {
  const set = (field: string, value: unknown): void => model.setFieldValue('tcfeuv2', field, value);
  set('CmpId', 31);
  set('ConsentLanguage', 'EN');
  set('VendorListVersion', 126);
  set('PolicyVersion', 4);
  set(
    'PurposeConsents',
    Array.from({ length: 24 }, (_, i) => purposes.includes(i + 1)),
  );
  set('VendorConsents', vendors);
  return model;
}
