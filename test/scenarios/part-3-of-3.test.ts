import { tryScenarios } from './scenarios.ts';

tryScenarios(3, 3);
