/** Customers of the sample, enough for every line of a plan to have a number. */
const CUSTOMERS = 200;
const DAY = 86_400_000;
const COUNTRIES = ['DE', 'FR', 'GB', 'NL'];
const CATEGORIES = ['shoes', 'bags', 'coats', 'sports', 'home'];

/**
 * CSV files of a tiny shop as it stands at `now` (epoch milliseconds): path -> text. The same for everybody but for the dates, which
 * lie before `now`. Nobody in it exists; addresses end in example.com.
 */
export function sampleTables(now: number): Readonly<Record<string, string>> {
  const at = (daysAgo: number) => new Date(now - daysAgo * DAY).toISOString().slice(0, 19).replace('T', ' ');
  const customers: string[][] = [];
  const identifiers: string[][] = [];
  const consents: string[][] = [];
  const orders: string[][] = [];
  for (let i = 0; i < CUSTOMERS; i++) {
    const id = `c${String(i).padStart(4, '0')}`;
    // Steps that share no divisor with the number of customers spread each choice over all the others.
    const ordersOf = (i * 7) % 6;
    const lastOrder = 1 + ((i * 37) % 240);
    let spent = 0;
    for (let n = 0; n < ordersOf; n++) {
      const cents = 1500 + ((i * 613 + n * 971) % 12_000);
      spent += cents;
      const category = CATEGORIES[(i + n * 2) % CATEGORIES.length] ?? '';
      orders.push([`o${i}-${n}`, id, at(lastOrder + n * 21), category, (cents / 100).toFixed(2)]);
    }
    customers.push([
      id,
      COUNTRIES[(i * 3) % COUNTRIES.length] ?? '',
      ordersOf === 0 ? '' : at(lastOrder),
      (spent / 100).toFixed(2),
    ]);
    if (i % 25 !== 0) identifiers.push([id, 'email', i % 9 === 0 ? `Customer.${i}@Example.com ` : `customer.${i}@example.com`]);
    if (i % 4 !== 3)
      consents.push([`r${i}`, id, 'email_marketing', i % 10 === 4 ? 'denied' : 'granted', at(lastOrder + 120), '']);
    if (i % 17 === 5) consents.push([`r${i}-2`, id, 'email_marketing', 'withdrawn', at(1), '']);
  }
  return {
    'data/customers.csv': csv(['customer_id', 'country', 'last_order_at', 'lifetime_value'], customers),
    'data/identifiers.csv': csv(['customer_id', 'namespace', 'value'], identifiers),
    'data/consents.csv': csv(['record_id', 'customer_id', 'purpose', 'status', 'effective_from', 'effective_to'], consents),
    'data/order_completed.csv': csv(['order_id', 'customer_id', 'occurred_at', 'category', 'amount'], orders),
  };
}

const csv = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  `${[header, ...rows].map((row) => row.join(',')).join('\n')}\n`;
