// Keeps what the provider knows. Its own store in memory forgets all but the latest thousand.

const values = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model} ${id}`;
  }

  async upsert(id, payload) {
    values.set(this.key(id), payload);
  }

  async find(id) {
    return values.get(this.key(id));
  }

  async findByUid(uid) {
    return this.all().find((payload) => payload.uid === uid);
  }

  async consume(id) {
    values.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    values.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of values) if (payload.grantId === grantId) values.delete(key);
  }

  all() {
    return [...values].filter(([key]) => key.startsWith(`${this.model} `)).map(([, payload]) => payload);
  }
}

export const adapter = Store;
