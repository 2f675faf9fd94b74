'use strict';
// Takes notices from a Redis list and files them in PostgreSQL. No server: nobody calls it.
const Redis = require('ioredis');
const logger = require('pino')();
const { Pool } = require('pg');
const { place } = require('./calls');

const pool = new Pool({
  host: '127.0.0.1', port: place('postgresql'), user: 'library', database: 'library', max: 2, connectionTimeoutMillis: 3000,
});
pool.on('error', (error) => logger.warn(`a connection was lost: ${error.message}`));
const redis = new Redis({ host: '127.0.0.1', port: place('redis'), maxRetriesPerRequest: null });
redis.on('error', (error) => logger.warn(`redis: ${error.message}`));

async function work() {
  for (;;) {
    try {
      const next = await redis.brpop('notices', 5);
      if (!next) continue;
      const notice = JSON.parse(next[1]);
      await pool.query('INSERT INTO notices (reader, loan) VALUES ($1, $2)', [notice.reader, notice.loan]);
      logger.info(`notice for reader ${notice.reader} about loan ${notice.loan}`);
    } catch (error) {
      logger.error(`a notice was lost: ${error.message}`);
      await new Promise((resolve) => { setTimeout(resolve, 500); });
    }
  }
}
work();
