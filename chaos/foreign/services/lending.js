'use strict';
// Loans: a row in PostgreSQL, and a notice into a Redis list. Express.
const express = require('express');
const Redis = require('ioredis');
const logger = require('pino')();
const { Pool } = require('pg');
const { place } = require('./calls');
const { check } = require('./trouble');

const pool = new Pool({
  host: '127.0.0.1', port: place('postgresql'), user: 'library', database: 'library', max: 8, connectionTimeoutMillis: 3000,
});
pool.on('error', (error) => logger.warn(`a connection was lost: ${error.message}`));
const redis = new Redis({ host: '127.0.0.1', port: place('redis'), maxRetriesPerRequest: 1, commandTimeout: 3000 });
redis.on('error', (error) => logger.warn(`redis: ${error.message}`));

const app = express();
app.use(express.json());

app.post('/loans', async (request, response) => {
  check('due');
  const { reader, isbn } = request.body;
  const made = await pool.query('INSERT INTO loans (reader, isbn) VALUES ($1, $2) RETURNING id', [reader, isbn]);
  await redis.lpush('notices', JSON.stringify({ reader, loan: made.rows[0].id }));
  response.json({ id: made.rows[0].id });
});

app.get('/loans/:reader', async (request, response) => {
  check('loans');
  const found = await pool.query('SELECT id, isbn FROM loans WHERE reader = $1 ORDER BY id DESC LIMIT 5', [request.params.reader]);
  response.json(found.rows);
});

app.use((error, request, response, next) => {
  logger.error(`lending failed: ${error.message}`);
  response.status(500).json({ error: error.message });
});

app.listen(Number(process.env.PORT), '127.0.0.1', () => logger.info('lending listens'));
