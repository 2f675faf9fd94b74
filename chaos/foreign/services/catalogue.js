'use strict';
// Titles in a PostgreSQL table. Koa with its router.
const Koa = require('koa');
const Router = require('@koa/router');
const logger = require('pino')();
const { Pool } = require('pg');
const { place } = require('./calls');
const { check } = require('./trouble');

const pool = new Pool({
  host: '127.0.0.1', port: place('postgresql'), user: 'library', database: 'library', max: 8, connectionTimeoutMillis: 3000,
});
pool.on('error', (error) => logger.warn(`a connection was lost: ${error.message}`));
const router = new Router();

router.get('/titles/:isbn', async (context) => {
  check('title');
  const found = await pool.query('SELECT isbn, title FROM titles WHERE isbn = $1', [context.params.isbn]);
  context.status = found.rowCount ? 200 : 404;
  context.body = found.rows[0] || { error: 'no such title' };
});

router.get('/titles', async (context) => {
  const found = await pool.query('SELECT isbn, title FROM titles WHERE title LIKE $1 LIMIT 10', [`%${context.query.q}%`]);
  context.body = found.rows;
});

const app = new Koa();
app.on('error', (error) => logger.error(`catalogue: ${error.message}`));
app.use(router.routes());
app.listen(Number(process.env.PORT), '127.0.0.1', () => logger.info('catalogue listens'));
